"""Small programs as they are written, on one packet: what the model of the core is fitted to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack

from bpfsmith.cost.bench import Bench, cannot, wall_ns
from bpfsmith.cost.experiment import Action, Case, Experiment, Opened
from bpfsmith.isa.program import Program
from bpfsmith.kernel import testrun
from bpfsmith.kernel.load import Accepted, Rejected, load
from bpfsmith.kernel.maps import MapSet, open_maps
from bpfsmith.objfile.object import Object
from bpfsmith.packet.build import udp_packet

FILE = "train.bpf.c"
PACKET = udp_packet(b"hello from bpfsmith, and a little more, so that loops have something to run over ..." * 2, dport=7)
PROGRAMS = (
    "parse", "ip_checksum", "hash_payload", "count_atomic", "count_per_cpu", "find_flow", "two_hosts", "token_bucket", "sample",
    "turn", "mix", "spread", "pseudo_header", "called", "letters", "remember", "fetch", "histogram",
)  # fmt: skip
REPEAT = 4_000
_COPIES = 5


def side_by_side(
    bench: Bench, stack: ExitStack, programs: Sequence[tuple[Program, Object | None]], packet: bytes = PACKET
) -> tuple[dict[str, Action], dict[str, MapSet]]:
    """How to time programs in the kernel's test run, with an empty one of each section as `floor_SECTION`; and their maps."""
    actions: dict[str, Action] = {}
    opened: dict[str, MapSet] = {}
    empty = bench.object("net.bpf.c")
    for section, name in (("xdp", "pass_xdp"), ("tc", "pass_tcx")):
        if any(program.section == section for program, _ in programs):
            maps = stack.enter_context(open_maps(empty.program(name), obj=empty))
            actions[f"floor_{section}"] = _timed(f"floor_{section}", _loaded(stack, empty.program(name), maps), packet)
    for program, obj in programs:
        maps = opened[program.name] = stack.enter_context(open_maps(program, obj=obj))
        actions[program.name] = _timed(program.name, _loaded(stack, program, maps), packet)
    return actions, opened


def _loaded(stack: ExitStack, program: Program, maps: MapSet) -> list[Accepted]:
    """The program, several times over: where its image happens to lie moves a small one by a ns."""
    copies = []
    for _ in range(_COPIES):
        outcome = load(program, maps)
        if isinstance(outcome, Rejected):
            raise cannot(f"this kernel refuses {program.name}: {outcome.reason}")
        copies.append(stack.enter_context(outcome))
    return copies


def _timed(case: str, copies: Sequence[Accepted], packet: bytes) -> Action:
    if copies[0].program.section == "xdp":  # see wall_ns
        return lambda: {case: statistics.median(testrun.run(copy, packet, REPEAT).duration_ns for copy in copies)}
    return lambda: {case: statistics.median(wall_ns(copy, packet, REPEAT, tries=4) for copy in copies)}


def _open(bench: Bench, stack: ExitStack) -> Opened:
    obj = bench.object(FILE)
    actions, _ = side_by_side(bench, stack, [(obj.program(name), obj) for name in PROGRAMS])
    return Opened(tuple(actions.values()))


EXPERIMENTS = (
    Experiment(
        "train", "insns", "", "small programs that the prediction is fitted to, above an empty one", "ns",
        (
            Case("floor_tc", "an empty program", is_floor=True),
            *(Case(name, name.replace("_", " "), None, "floor_tc") for name in PROGRAMS),
        ),
        _open,
        seconds=10,
    ),
)  # fmt: skip
