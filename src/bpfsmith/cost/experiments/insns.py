"""Instructions by class: how long one waits for another (latency), and how many go side by side (throughput)."""

from __future__ import annotations

from contextlib import ExitStack

from bpfsmith.cost.bench import FRAME, Bench, wall_ns
from bpfsmith.cost.experiment import Action, Case, Experiment, Missing, Opened, Ordering
from bpfsmith.isa.asm import assemble
from bpfsmith.kernel.load import Accepted, Rejected, load
from bpfsmith.kernel.maps import open_maps

COPIES = 240
"""How many copies of an instruction (or of a group of them) stand one behind the other."""
_REPEAT = 2_000

# What is copied, with {n} its number and {r} one of four registers; what stands before it. One instruction a line.
_CLASSES: dict[str, tuple[str, str, str]] = {
    "alu_latency": ("add, each waits for the one before", "r1 += r2", ""),
    "alu": ("add, side by side", "{r} += r0", ""),
    "mul_latency": ("multiplication, each waits", "r1 *= r2", ""),
    "mul": ("multiplication, side by side", "{r} *= r0", ""),
    "div64_latency": ("division, 64 bits, each waits", "r1 /= r2", "r2 |= 1"),
    "div32_latency": ("division, 32 bits, each waits", "w1 /= w2", "w2 |= 1"),
    "mod32_latency": ("remainder, 32 bits, each waits", "w1 %= w2", "w2 |= 1"),
    "shift_latency": ("shift by a register, each waits", "r1 <<= r2", ""),
    "swap_latency": ("byte swap, each waits", "r1 = be32 r1", ""),
    "store": ("store to the stack", "*(u64 *)(r10 -{slot}) = r1", ""),
    "load": ("load from the stack", "{r} = *(u64 *)(r10 -{slot})", ""),
    "forward_latency": ("store, and the load that waits for it", "*(u64 *)(r10 -8) = r1\nr1 = *(u64 *)(r10 -8)", ""),
    "branch": ("branch that is not taken", "if r1 == 77 goto out", "r1 = *(u32 *)(r6 +0)"),
    "jump": ("branch that is taken", "if r1 != 77 goto pc+1\nr2 = 1", "r1 = *(u32 *)(r6 +0)"),
    "wide": ("64-bit constant", "{r} = 0x1122334455667788 ll", ""),
}


def _text(body: str, before: str) -> str:
    lines = ["r6 = r1", "r0 = 1", "r1 = 1", "r2 = 1", "r3 = 1", "r4 = 1", "r5 = 1"]
    lines += [f"*(u64 *)(r10 -{slot}) = r0" for slot in range(8, 72, 8)]
    lines += [before] if before else []
    for n in range(COPIES if body else 0):
        lines.append(body.format(r=f"r{1 + n % 5}", slot=8 + 8 * (n % 8), n=n))
    return "\n".join([*lines, "out:", "r0 = 0", "exit"]) + "\n"


def _open(bench: Bench, stack: ExitStack) -> Opened:
    del bench
    actions: list[Action] = []
    missing: list[Missing] = []
    for name, (_, body, before) in {"floor": ("", "", ""), **_CLASSES}.items():
        (program,) = assemble(".section tc\n" + _text(body, before), f"{name}.s")
        maps = stack.enter_context(open_maps(program))
        outcome = stack.enter_context(load(program, maps))
        if isinstance(outcome, Rejected):
            missing.append(Missing(name, f"this kernel refuses the program: {outcome.reason}"))
        else:
            actions.append(_sampler(name, outcome))
    return Opened(tuple(actions), tuple(missing))


def _sampler(case: str, accepted: Accepted) -> Action:
    return lambda: {case: wall_ns(accepted, FRAME, _REPEAT) / COPIES}


EXPERIMENTS = (
    Experiment(
        "insns", "insns", "", "instructions by class, straight-line code", "ns",
        (
            Case("floor", "the program without them", is_floor=True),
            *(Case(name, title, None, "floor") for name, (title, _, _) in _CLASSES.items()),
        ),
        _open,
        (
            Ordering("alu_latency", "mul_latency", "an addition is faster than a multiplication", "CPU"),
            Ordering("mul_latency", "div64_latency", "a multiplication is faster than a division", "CPU"),
            Ordering("alu", "alu_latency", "independent instructions go side by side", "CPU"),
        ),
    ),
)  # fmt: skip
