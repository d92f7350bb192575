"""How long programs take in the kernel's test run, side by side with empty ones."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from bpfsmith.cost.bench import COPIES, Bench, cannot, wall_ns
from bpfsmith.cost.experiment import Action
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.kernel import testrun
from bpfsmith.kernel.load import Accepted, Rejected, load
from bpfsmith.kernel.maps import MapSet, open_maps
from bpfsmith.objfile.object import Object

ROUNDS = 60 * COPIES
"""Enough for each copy of a program."""
REPEAT, XDP_REPEAT = 2_000, 4_000
"""Runs in a test run: few, so that the machine's speed seldom changes within a sample; with XDP most of that is waiting."""
_EMPTY = {"BPF_PROG_TYPE_XDP": "pass_xdp", "BPF_PROG_TYPE_SCHED_CLS": "pass_tcx", "BPF_PROG_TYPE_SOCKET_FILTER": "pass_socket"}
"""Programs of net.bpf.c that do nothing, by type: those whose test run repeats on a packet, and is timed."""


def floor_of(program: Program) -> str:
    """The name of the empty program of this one's type. KernelError `cannot-measure` for a type that is not timed."""
    kind = for_section(program.section).name
    if kind not in _EMPTY:
        raise cannot(f"{program.section} programs are not timed: the test run repeats xdp, tc and socket programs only")
    return f"floor_{_EMPTY[kind]}"


def side_by_side(
    bench: Bench, stack: ExitStack, programs: Mapping[str, tuple[Program, Object | None]], packet: bytes
) -> tuple[dict[str, Action], dict[str, MapSet]]:
    """What times these programs in the test run, and the empty ones that they need by `floor_of`; and their maps.

    KernelError `cannot-measure` where the kernel refuses one.
    """
    actions: dict[str, Action] = {}
    opened: dict[str, MapSet] = {}
    empty = bench.object("net.bpf.c")
    for floor in sorted({floor_of(program) for program, _ in programs.values()}):
        nothing = empty.program(floor.removeprefix("floor_"))
        maps = stack.enter_context(open_maps(nothing, obj=empty))
        actions[floor] = _timed(floor, _loaded(stack, nothing, maps), packet)
    for name, (program, obj) in programs.items():
        maps = opened[name] = stack.enter_context(open_maps(program, obj=obj))
        actions[name] = _timed(name, _loaded(stack, program, maps), packet)
    return actions, opened


def _loaded(stack: ExitStack, program: Program, maps: MapSet) -> list[Accepted]:
    """The program, several times over."""
    copies = []
    for _ in range(COPIES):
        outcome = load(program, maps)
        if isinstance(outcome, Rejected):
            raise cannot(f"this kernel refuses {program.name}: {outcome.reason}")
        copies.append(stack.enter_context(outcome))
    return copies


def _timed(case: str, copies: Sequence[Accepted], packet: bytes) -> Action:
    if copies[0].program_type.name == "BPF_PROG_TYPE_XDP":  # see wall_ns
        return lambda: {case: statistics.median(testrun.run(copy, packet, XDP_REPEAT).duration_ns for copy in copies)}
    turn = itertools.cycle(copies)  # one in a round: a short sample is calm from its beginning to its end, or is not
    return lambda: {case: wall_ns([next(turn)], packet, REPEAT, tries=3)}
