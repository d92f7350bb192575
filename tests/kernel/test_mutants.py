"""Mutants of a real program: what the engine says of them, random runs do not contradict, and what it shows can be replayed."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from corpora import REFERENCE, compiled_programs
from mutants import RUNNABLE, accepted_mutants, rows_of

from bpfsmith.isa.progtype import for_section
from tests.kernel.conftest import require_bpf

PROGRAMS = Path(__file__).parents[2] / "benchmarks" / "programs"
SOURCES = [PROGRAMS / f"{name}.bpf.c" for name in ("xdp_guard", "cgroup_sock")]
COUNT, RUNS, LONGEST = 24, 500, 70


@pytest.mark.kernel
def test_mutants_are_judged_as_random_runs_see_them() -> None:
    require_bpf()
    originals = [
        (source.stem, compilations[0])
        for source, _, compilations in compiled_programs(SOURCES, [REFERENCE])
        if compilations[0].insns <= LONGEST and for_section(compilations[0].program.section).name in RUNNABLE
    ]
    mutants = list(accepted_mutants(originals, COUNT, Random(4)))
    rows = list(rows_of(mutants, RUNS, 1, 60, None))
    assert len(rows) == COUNT
    assert [row for row in rows if row.verdict == "error"] == []
    assert [row for row in rows if row.verdict == "equal" and row.told_apart] == []
    assert [row for row in rows if row.verdict == "different" and row.replayed not in ("yes", "interpreter only")] == []
    assert sum(row.verdict == "different" for row in rows) >= COUNT // 4
    assert sum(row.verdict == "equal" for row in rows) >= 1
