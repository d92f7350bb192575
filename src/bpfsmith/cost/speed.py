"""How fast the machine is from moment to moment, and samples as they would be at one speed.

Two things move, and both are nobody's business but the host's. The clock does, by some percent. And on a virtual machine a
neighbour on the other thread of the core takes its execution units: code that goes many instructions side by side then takes
up to twice as long, and code that waits for one instruction after the other as long as before. So two yardsticks stand beside
every sample: a chain of multiplications, which tells the clock, and independent additions, which tell how many instructions
a cycle are to be had (the core's width).

What a case takes is put right for both (control variates, as in simulation): by the clock wholly, by the width to the power
that leaves the least spread among its own samples.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bpfsmith.isa.asm import assemble
from bpfsmith.kernel import syscall
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps

_CYCLES = 2_000 * 3  # a 64-bit multiplication takes 3 cycles on x86 since Nehalem, and on Zen
_INSNS = 1_000 * 30
_TRIES = 3
_FRAME = bytes(60)
_LEAST_MOVE = 0.02
_GRID = tuple(n / 10 for n in range(13))
_PRIOR = 0.02
"""By how much a power must bring the quartiles of the logarithms together, for each 1 that it lies off what was expected."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A moment's clock, and how many simple instructions a cycle the core had for us."""

    clock_ghz: float
    width: float


@dataclass(frozen=True, slots=True)
class Speed:
    """What all values of a measurement are put right to: the medians of its readings. `slowdowns` are quantiles, evenly spaced
    and from the fastest moment on, of how long a program takes relative to that (1.3: three tenths longer)."""

    clock_ghz: float
    width: float
    slowdowns: tuple[float, ...]

    @property
    def reading(self) -> Reading:
        return Reading(self.clock_ghz, self.width)


class Yardsticks:
    """The two pieces of work, loaded. KernelError where they cannot be."""

    def __init__(self, stack: ExitStack) -> None:
        self._chain = _loaded(stack, "chain", ["r1 *= r2"] * 20, 100)
        self._side = _loaded(stack, "side", [f"r{n} += 1" for n in range(1, 6)] * 6, 1_000)

    def read(self) -> Reading:
        """A few microseconds of each."""
        clock = _CYCLES / self._ns(self._chain)
        return Reading(clock, _INSNS / self._ns(self._side) / clock)

    def _ns(self, program: Accepted) -> float:
        times = [float(syscall.prog_test_run(program.fd, _FRAME).return_value) for _ in range(_TRIES)]
        return max(statistics.median(times), 1.0)


def _loaded(stack: ExitStack, name: str, body: Sequence[str], turns: int) -> Accepted:
    before = ["call bpf_ktime_get_ns", "r7 = r0", *(f"r{n} = {n}" for n in range(1, 6)), f"r8 = {turns}"]
    after = ["r8 += -1", "if r8 != 0 goto again", "*(u64 *)(r10 -8) = r1", "call bpf_ktime_get_ns", "r0 -= r7", "exit"]
    (program,) = assemble("\n".join([".section tc", *before, "again:", *body, *after, ""]), f"{name}.s")
    outcome = load(program, stack.enter_context(open_maps(program)))
    assert isinstance(outcome, Accepted), outcome
    return stack.enter_context(outcome)


def between(before: Reading, after: Reading) -> Reading:
    """The speed of what ran between two readings."""
    return Reading((before.clock_ghz + after.clock_ghz) / 2, 2 / (1 / before.width + 1 / after.width))


def speed_of(readings: Sequence[Reading]) -> Speed:
    """The typical speed among readings, and how far moments lie from it."""
    clock = statistics.median(item.clock_ghz for item in readings)
    width = statistics.median(item.width for item in readings)
    typical = Reading(clock, width)
    slowdowns = [slowdown(item, typical) for item in readings]
    cuts = statistics.quantiles(slowdowns, n=20, method="inclusive") if len(slowdowns) > 1 else slowdowns
    return Speed(clock, width, tuple(sorted(cuts)))  # sorted: interpolating rounds


def slowdown(now: Reading, typical: Reading, power: float = 1.0) -> float:
    """How much longer than at the typical speed something takes now that uses the core's width to this power."""
    return typical.clock_ghz / now.clock_ghz * math.pow(typical.width / now.width, power)


def put_right(samples: Sequence[float], readings: Sequence[Reading], typical: Reading, expected: float = 1.0) -> list[float]:
    """Times as they would be at the typical speed. `expected` is the power of the width where the samples do not tell: 1 for
    programs, 0 for what waits for one instruction after the other."""
    power = _power(samples, readings, typical, expected)
    return [sample / slowdown(now, typical, power) for sample, now in zip(samples, readings, strict=True)]


def _power(samples: Sequence[float], readings: Sequence[Reading], typical: Reading, expected: float) -> float:
    pairs = [
        (math.log(sample / slowdown(now, typical, 0.0)), math.log(typical.width / now.width))
        for sample, now in zip(samples, readings, strict=True)
        if sample > 0  # and no NaN
    ]
    if len(pairs) < 8 or _spread([width for _, width in pairs]) < _LEAST_MOVE:
        return expected

    def left(power: float) -> float:
        return _spread([time - power * width for time, width in pairs]) + _PRIOR * abs(power - expected)

    return min(_GRID, key=left)


def _spread(values: Sequence[float]) -> float:
    q1, _, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return q3 - q1
