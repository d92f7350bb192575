"""Programs that differ in something that can be seen are never found equal, however seldom it is seen."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.gate.prove import prove_equal
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Different, Equal

SOURCES = sorted((Path(__file__).parent / "unequal").glob("*.bpf.c"))

SOON = Limits(bitwuzla_steps=4_000, z3_rlimit=200_000)
"""What is hard to tell apart is found by running, or not at all: that takes the solvers long."""


@cache
def compiled(source: Path, other: int) -> Object:
    return read_object(Compiler.default().compile(source, flags=(f"-DOTHER={other}",)))


NAMES = [(source, program.name) for source in SOURCES for program in compiled(source, 0).programs]


@pytest.mark.parametrize(("source", "name"), NAMES, ids=[f"{source.name.split('.')[0]}-{name}" for source, name in NAMES])
def test_what_differs_is_never_equal(source: Path, name: str) -> None:
    first, second = compiled(source, 0), compiled(source, 1)
    # More atomicity than the reference has is no loss.
    one_way = name == "plain_or_atomic" or source.name.startswith("shared")
    ways = [(first, second)] if one_way else [(first, second), (second, first)]
    for a, b in ways:
        verdict = prove_equal(a.program(name), a, b.program(name), b, limits=SOON, random_runs=2_000)
        assert not isinstance(verdict, Equal), verdict
        if source.name.startswith("numbers"):
            assert isinstance(verdict, Different), verdict
