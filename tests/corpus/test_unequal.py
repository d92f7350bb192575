"""Programs that differ in something that can be seen are never found equal, however seldom it is seen."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

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


# Whether skb->csum is kept right is seen by whoever receives the packet, and is no part of the model yet.
UNSEEN = {"stored_flags"}


def names() -> Iterator[ParameterSet]:
    for source in SOURCES:
        for program in compiled(source, 0).programs:
            marks = [pytest.mark.xfail(strict=False)] if program.name in UNSEEN else []
            yield pytest.param(source, program.name, marks=marks, id=f"{source.name.split('.')[0]}-{program.name}")


@pytest.mark.parametrize(("source", "name"), list(names()))
def test_what_differs_is_never_equal(source: Path, name: str) -> None:
    first, second = compiled(source, 0), compiled(source, 1)
    # More atomicity than the reference has is no loss.
    ways = [(first, second)] if name == "plain_or_atomic" else [(first, second), (second, first)]
    for a, b in ways:
        verdict = prove_equal(a.program(name), a, b.program(name), b, limits=SOON, random_runs=2_000)
        assert not isinstance(verdict, Equal), verdict
        if source.name.startswith("numbers"):
            assert isinstance(verdict, Different), verdict
