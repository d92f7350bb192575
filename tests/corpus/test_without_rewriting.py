"""The rewriter never turns a verdict round: z3, asked about terms that were only folded, does not say the opposite."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from plain import prove_plainly

from bpfsmith.codegen.clang import Compiler
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Different, Equal

HERE = Path(__file__).parent
PAIRS, UNEQUAL = (sorted((HERE / name).glob("*.bpf.c")) for name in ("pairs", "unequal"))
OF_WHOLENESS = "shared.bpf.c"
"""Its pairs do the same alone, and not beside others: that is no question to a solver."""
LIMITS = Limits(z3_rlimit=2_000_000, solver="z3")


@cache
def compiled(source: Path, *flags: str) -> Object:
    return read_object(Compiler.default().compile(source, flags=flags))


@pytest.mark.parametrize("source", PAIRS, ids=lambda path: path.name.removesuffix(".bpf.c"))
def test_compilations_of_one_source_are_not_told_apart(source: Path) -> None:
    first, second = compiled(source), compiled(source, "-O1")
    for program in first.programs:
        verdict = prove_plainly(program, second.program(program.name), LIMITS)
        assert not isinstance(verdict, Different), verdict


@pytest.mark.parametrize(
    "source", [item for item in UNEQUAL if item.name != OF_WHOLENESS], ids=lambda path: path.name.removesuffix(".bpf.c")
)
def test_what_differs_is_not_found_equal(source: Path) -> None:
    first, second = compiled(source, "-DOTHER=0"), compiled(source, "-DOTHER=1")
    for program in first.programs:
        if program.name in (
            "plain_or_atomic",
            "stored_flags",
        ):  # the one differs in atomicity, which is no question to a solver
            continue
        verdict = prove_plainly(program, second.program(program.name), LIMITS)
        assert not isinstance(verdict, Equal), (program.name, verdict)
