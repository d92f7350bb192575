"""Small programs as they are written, on one packet: what the model of the core is fitted to."""

from __future__ import annotations

from contextlib import ExitStack

from bpfsmith.cost.bench import Bench
from bpfsmith.cost.experiment import Case, Experiment, Opened
from bpfsmith.cost.timing import ROUNDS, side_by_side
from bpfsmith.packet.build import udp_packet

FILE = "train.bpf.c"
PACKET = udp_packet(b"hello from bpfsmith, and a little more, so that loops have something to run over ..." * 2, dport=7)
PROGRAMS = (
    "parse", "ip_checksum", "hash_payload", "count_atomic", "count_per_cpu", "find_flow", "two_hosts", "token_bucket", "sample",
    "turn", "mix", "spread", "pseudo_header", "called", "letters", "remember", "fetch", "histogram",
)  # fmt: skip


def _open(bench: Bench, stack: ExitStack) -> Opened:
    obj = bench.object(FILE)
    actions, *_ = side_by_side(bench, stack, {name: (obj.program(name), obj) for name in PROGRAMS}, PACKET)
    return Opened(tuple(actions.values()))


EXPERIMENTS = (
    Experiment(
        "train", "insns", "", "small programs that the prediction is fitted to, above an empty one", "ns",
        (
            Case("floor_pass_tcx", "an empty program", is_floor=True),
            *(Case(name, name.replace("_", " "), None, "floor_pass_tcx") for name in PROGRAMS),
        ),
        _open,
        rounds=ROUNDS,
        seconds=10,
    ),
)  # fmt: skip
