"""One source, many compilations: what clang makes of it at another level or for another instruction set is equal."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.gate.prove import prove_equal
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.semantics.verdict import Equal

SOURCES = sorted((Path(__file__).parent / "pairs").glob("*.bpf.c"))
WAYS = [way for way in product(("-O1", "-O2", "-Os"), ("v1", "v2", "v3")) if way != ("-O2", "v3")]


@cache
def compiled(source: Path, level: str, cpu: str) -> Object:
    return read_object(Compiler.default().compile(source, cpu=cpu, flags=(level,)))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name.removesuffix(".bpf.c"))
def test_every_compilation_means_the_same(source: Path) -> None:
    reference = compiled(source, "-O2", "v3")
    for level, cpu in WAYS:
        candidate = compiled(source, level, cpu)
        for program in reference.programs:
            verdict = prove_equal(program, reference, candidate.program(program.name), candidate)
            assert isinstance(verdict, Equal), f"{level} {cpu}: {verdict}"
