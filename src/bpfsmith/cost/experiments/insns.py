"""Instructions by class: how long one waits for another (latency), and how many go side by side (throughput)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from bpfsmith.cost.bench import FRAME, Bench, wall_ns
from bpfsmith.cost.experiment import Action, Case, Experiment, Missing, Opened, Ordering
from bpfsmith.isa.asm import assemble
from bpfsmith.kernel.load import Accepted, Rejected, load
from bpfsmith.kernel.maps import open_maps

COPIES = 240
"""How many copies of an instruction (or of a group of them) stand one behind the other."""
TURNS, LATENCY_COPIES = 100, 16 * 100
"""Where each waits for the one before: in a loop, so long that the next run of the program cannot begin in its shadow (a core
looks some hundred instructions ahead), and so short that its code stays decoded."""
_REPEAT, _LATENCY_REPEAT = 500, 160
"""Runs in a test run; the system call around them takes some us, which must not count."""

_IN_LEVELS = frozenset(("div64_latency", "div32_latency", "mod32_latency"))
_SHORT_REPEAT, _SHORT_TRIES = 20, 12
"""A chain of divisions takes 26 cycles for each here, as the CPU's manual says, or now and then 48 or 96 cycles more, and stays
with that until the system call ends. Programs with a division or two never show that: the least of several calls is taken."""

# What is copied, with {n} its number and {r} one of four registers; what stands before it. One instruction a line.
_CLASSES: dict[str, tuple[str, str, str]] = {
    "alu_latency": ("add, each waits for the one before", "r1 += r2", ""),
    "alu": ("add, side by side", "{r} += r0", ""),
    "mul_latency": ("multiplication, each waits", "r1 *= r2", ""),
    "mul": ("multiplication, side by side", "{r} *= r0", ""),
    "div64_latency": ("division, 64 bits, each waits", "r0 /= r2", "r2 |= 1"),
    "div32_latency": ("division, 32 bits, each waits", "w0 /= w2", "w2 |= 1"),
    "mod32_latency": ("remainder, 32 bits, each waits", "w0 %= w2", "w2 |= 1"),
    "shift_latency": ("shift by a register, each waits", "r1 <<= r2", ""),
    "swap_latency": ("byte swap, each waits", "r1 = be32 r1", ""),
    "store": ("store to the stack", "*(u64 *)(r10 -{slot}) = r1", ""),
    "load": ("load from the stack", "{r} = *(u64 *)(r10 -{slot})", ""),
    "forward_latency": ("store, and the load that waits for it", "*(u64 *)(r10 -8) = r1\nr1 = *(u64 *)(r10 -8)", ""),
    "stall_latency": (
        "two narrow stores, and the wide load that waits for both",
        "*(u32 *)(r10 -8) = r1\n*(u32 *)(r10 -4) = r1\nr1 = *(u64 *)(r10 -8)",
        "",
    ),
    "branch": ("branch that is not taken", "if r1 == 77 goto out", "r1 = *(u32 *)(r6 +0)"),
    "jump": ("branch that is taken", "if r1 != 77 goto pc+1\nr2 = 1", "r1 = *(u32 *)(r6 +0)"),
    "wide": ("64-bit constant", "{r} = 0x1122334455667788 ll", ""),
}


def _text(body: str, before: str, copies: int) -> str:
    lines = ["r6 = r1", "r0 = 1", "r1 = 1", "r2 = 1", "r3 = 1", "r4 = 1", "r5 = 1"]
    lines += [f"*(u64 *)(r10 -{slot}) = r0" for slot in range(8, 72, 8)]
    lines += [before] if before else []
    turns = TURNS if copies == LATENCY_COPIES else 1
    lines += [f"r7 = {turns}", "again:"] if turns > 1 else []
    for n in range(copies // turns if body else 0):
        lines.append(body.format(r=f"r{1 + n % 5}", slot=8 + 8 * (n % 8), n=n))
    lines += ["r7 += -1", "if r7 != 0 goto again"] if turns > 1 else []
    return "\n".join([*lines, "out:", "r0 = 0", "exit"]) + "\n"


def _open(bench: Bench, stack: ExitStack) -> Opened:
    del bench
    actions: list[Action] = []
    missing: list[Missing] = []
    for name, (_, body, before) in {"floor": ("", "", ""), **_CLASSES}.items():
        copies = LATENCY_COPIES if _waits(name) else COPIES
        (program,) = assemble(".section tc\n" + _text(body, before, copies), f"{name}.s")
        maps = stack.enter_context(open_maps(program))
        outcome = load(program, maps)
        if isinstance(outcome, Rejected):
            missing.append(Missing(name, f"this kernel refuses the program: {outcome.reason}"))
        else:
            actions.append(_sampler(name, stack.enter_context(outcome), copies))
    return Opened(tuple(actions), tuple(missing))


def _waits(name: str) -> bool:
    return name.endswith("_latency")


def _sampler(case: str, accepted: Accepted, copies: int) -> Action:
    def sample() -> Mapping[str, float]:
        if case in _IN_LEVELS:
            return {case: min(wall_ns([accepted], FRAME, _SHORT_REPEAT, tries=1) for _ in range(_SHORT_TRIES)) / copies}
        took = wall_ns([accepted], FRAME, _LATENCY_REPEAT if copies == LATENCY_COPIES else _REPEAT, tries=3)
        if case == "floor":
            return {"floor": took / COPIES, "floor_latency": took / LATENCY_COPIES}
        return {case: took / copies}

    return sample


EXPERIMENTS = (
    Experiment(
        "insns", "insns", "", "instructions by class, straight-line code", "ns",
        (
            Case("floor", "the program without them", is_floor=True),
            Case("floor_latency", "the same, over more copies", is_floor=True, waits=True),
            *(
                Case(name, title, None, "floor_latency" if _waits(name) else "floor", waits=_waits(name))
                for name, (title, _, _) in _CLASSES.items()
            ),
        ),
        _open,
        (
            Ordering("alu_latency", "mul_latency", "an addition is faster than a multiplication", "CPU"),
            Ordering("mul_latency", "div64_latency", "a multiplication is faster than a division", "CPU"),
            Ordering("alu", "alu_latency", "independent instructions go side by side", "CPU"),
        ),
    ),
)  # fmt: skip
