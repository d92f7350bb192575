"""What the kernel says of a program, and how long a run takes, as a `ProgramReport`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bpfsmith.diagnostic import KernelError
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.kernel import jit, testrun
from bpfsmith.kernel.load import Accepted, Rejected, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.objfile.object import Object
from bpfsmith.report import ProgramReport

QUICK_ROUNDS, QUICK_REPEAT = 8, 4_000


def load_report(
    program: Program,
    obj: Object | None,
    *,
    before: Program | None = None,
    maps: Sequence[MapSpec] | None = None,
    rounds: int = QUICK_ROUNDS,
    timed: bool = True,
) -> tuple[ProgramReport, Rejected | None]:
    """Loads a program without attaching it, and times it where test runs can; with the rejection when there was one.

    `before` is a program of the same object that is run once first (an element's init); `maps` stand for the object's. Raises
    KernelError when bpf(2) is not permitted.
    """
    specs = maps if maps is not None else obj.maps if obj else program.maps
    with open_maps(specs, obj=obj) as opened, load(program, opened) as outcome:
        accepted = outcome_report(program, outcome)
        if not isinstance(outcome, Accepted):
            return accepted, outcome
        if not timed:
            return accepted, None
        if before is not None:
            with load(before, opened) as first:
                if isinstance(first, Accepted):
                    testrun.run(first)
        try:
            measured = testrun.measure([outcome], rounds=rounds, repeat=QUICK_REPEAT)
        except KernelError:  # this program type has no test run
            return accepted, None
        timing = measured.programs[0]
        return (
            replace(accepted, run_ns=timing.min_ns, run_spread_ns=timing.spread_ns, floor_ns=measured.floor.min_ns),
            None,
        )


def bare_report(program: Program) -> ProgramReport:
    """What is known of a program before it is loaded."""
    return ProgramReport(program.name, program.section, insn_count(program))


def outcome_report(program: Program, outcome: Accepted | Rejected) -> ProgramReport:
    """What the kernel said of a program when it was loaded."""
    bare = bare_report(program)
    if not isinstance(outcome, Accepted):
        stats = outcome.stats
        counted = replace(bare, processed_insns=stats.processed_insns, states=stats.total_states) if stats else bare
        return replace(counted, verdict="rejected", reason=outcome.reason)
    return replace(
        bare,
        verdict="accepted",
        xlated_slots=outcome.xlated_slots,
        jited_bytes=outcome.jited_bytes or None,
        jited_insns=jit.count(outcome.jited) if outcome.jited else None,
        processed_insns=outcome.processed_insns,
        states=outcome.stats.total_states,
        peak_states=outcome.stats.peak_states,
        max_states_per_insn=outcome.stats.max_states_per_insn,
        stack_depth=max(outcome.stats.stack_depth) if outcome.stats.stack_depth else None,
        load_ms=round(outcome.load_ms, 2),
    )


def insn_count(program: Program) -> int:
    """Instructions of a program and its subprograms, a wide one counted once."""
    return len(program.insns) + sum(len(sub.insns) for sub in program.subprograms)
