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
from bpfsmith.kernel.testrun import MOST_DISPATCHED, dispatched
from bpfsmith.objfile.object import Object

ROUNDS = 60 * COPIES
"""Enough for each copy of a program."""
REPEAT, _WAITING_REPEAT = 2_000, 4_000
"""Runs in a test run: few, so that the machine's speed seldom changes within a sample. Where XDP programs wait, most of a test
run is waiting, and the kernel's own time in whole ns is what there is."""
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
) -> tuple[dict[str, Action], dict[str, MapSet], dict[str, Accepted]]:
    """What times these programs in the test run, and the empty ones that they need by `floor_of`; their maps; and themselves.

    KernelError `cannot-measure` where the kernel refuses one.
    """
    empty = bench.object("net.bpf.c")
    floors = {
        floor: empty.program(floor.removeprefix("floor_")) for floor in sorted({floor_of(p) for p, _ in programs.values()})
    }
    everything = {**{floor: (nothing, empty) for floor, nothing in floors.items()}, **programs}
    with_xdp = sum(_is_xdp(program) for program, _ in everything.values())
    opened: dict[str, MapSet] = {}
    copies: dict[str, list[Accepted]] = {}
    for name, (program, obj) in everything.items():
        opened[name] = stack.enter_context(open_maps(program, obj=obj))
        count = max(min(COPIES, MOST_DISPATCHED // with_xdp), 1) if _is_xdp(program) else COPIES
        copies[name] = _loaded(stack, program, opened[name], count)
    waits = not stack.enter_context(dispatched(copy for items in copies.values() for copy in items))
    actions = {
        name: _timed(name, copies[name], packet, waits and _is_xdp(program)) for name, (program, _) in everything.items()
    }
    return actions, {name: opened[name] for name in programs}, {name: copies[name][0] for name in programs}


def _is_xdp(program: Program) -> bool:
    return for_section(program.section).name == "BPF_PROG_TYPE_XDP"


def _loaded(stack: ExitStack, program: Program, maps: MapSet, count: int) -> list[Accepted]:
    """The program, several times over."""
    copies = []
    for _ in range(count):
        outcome = load(program, maps)
        if isinstance(outcome, Rejected):
            raise cannot(f"this kernel refuses {program.name}: {outcome.reason}")
        copies.append(stack.enter_context(outcome))
    return copies


def _timed(case: str, copies: Sequence[Accepted], packet: bytes, waits: bool) -> Action:
    if waits:
        return lambda: {case: statistics.median(testrun.run(copy, packet, _WAITING_REPEAT).duration_ns for copy in copies)}
    turn = itertools.cycle(copies)  # one in a round: a short sample is calm from its beginning to its end, or is not
    return lambda: {case: wall_ns([next(turn)], packet, REPEAT, tries=1)}
