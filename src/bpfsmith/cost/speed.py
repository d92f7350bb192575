"""How fast the machine is from moment to moment, and samples as they would be at one speed.

Two things move, and both are nobody's business but the host's. The clock does, by some percent. And on a virtual machine a
neighbour on the other thread of the core takes its execution units: code that goes many instructions side by side then takes
up to twice as long, and code that waits for one instruction after the other as long as before. So two yardsticks stand beside
every sample: a chain of multiplications, which tells the clock, and independent additions, which tell how many instructions
a cycle are to be had (the core's width).

A neighbour comes and goes within a fraction of a millisecond. So what a case takes is told by the samples of calm moments,
in which the core was our own, where there are enough; they are put right for the clock. The others are put right for both
(control variates, as in simulation): by the clock wholly, by the width to the power that leaves the least spread among the
case's own samples.
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
_INSNS = 30_000
_BODY = 120  # so long that where the loop's branch happens to lie makes no difference; with 30 it is a tenth
_TRIES = 4
_FRAME = bytes(60)
_BLUR = 0.12
"""Widths closer than this (as logarithms) are one: so far the yardstick moves by itself, and a neighbour takes a half."""
_LEAST_MOVE = 0.02
_GRID = tuple(n / 50 for n in range(76))
LEAST_CALM = 25
"""So many samples of calm moments are waited for."""
_LEAST_TO_TELL = 7
_LEAST_STEADY = 10
_PRIOR = 0.05
"""By how much a power must bring the quartiles of the logarithms together, for each 1 that it lies off what was expected."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A moment's clock, and how many simple instructions a cycle the core had for us; or those of a while between two moments,
    which is not `steady` when they differ."""

    clock_ghz: float
    width: float
    steady: bool = True


@dataclass(frozen=True, slots=True)
class Speed:
    """What all values of a measurement are put right to: its median clock, and the width of the tenth of its moments in which
    the core was most its own. `slowdowns` are quantiles, evenly spaced and from the fastest moment on, of how long a program
    took relative to that (1.3: three tenths longer)."""

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
        self._side = _loaded(stack, "side", [f"r{n} += 1" for n in range(1, 6)] * (_BODY // 5), _INSNS // _BODY)

    def read(self) -> Reading:
        """A few microseconds of each."""
        clock = _CYCLES / self._ns(self._chain)
        return Reading(clock, _INSNS / self._ns(self._side) / clock)

    def _ns(self, program: Accepted) -> float:
        # The least: the first run is one with cold caches, and an interrupt is no part of the work.
        return max(float(min(syscall.prog_test_run(program.fd, _FRAME).return_value for _ in range(_TRIES))), 1.0)


def _loaded(stack: ExitStack, name: str, body: Sequence[str], turns: int) -> Accepted:
    before = ["call bpf_ktime_get_ns", "r7 = r0", *(f"r{n} = {n}" for n in range(1, 6)), f"r8 = {turns}"]
    after = ["r8 += -1", "if r8 != 0 goto again", "*(u64 *)(r10 -8) = r1", "call bpf_ktime_get_ns", "r0 -= r7", "exit"]
    (program,) = assemble("\n".join([".section tc", *before, "again:", *body, *after, ""]), f"{name}.s")
    outcome = load(program, stack.enter_context(open_maps(program)))
    assert isinstance(outcome, Accepted), outcome
    return stack.enter_context(outcome)


def between(before: Reading, after: Reading) -> Reading:
    """The speed of what ran between two readings."""
    clock, width = (before.clock_ghz + after.clock_ghz) / 2, 2 / (1 / before.width + 1 / after.width)
    return Reading(clock, width, abs(math.log(slowdown(before, after))) < _BLUR)


def speed_of(readings: Sequence[Reading]) -> Speed:
    """The speed of a core to itself, as far as these readings tell, and how far moments lie from it."""
    clock = statistics.median(item.clock_ghz for item in readings)
    width = sorted(item.width for item in readings)[round(0.9 * (len(readings) - 1))]
    own = Reading(clock, width)
    slowdowns = [slowdown(item, own) for item in readings]
    cuts = statistics.quantiles(slowdowns, n=20, method="inclusive") if len(slowdowns) > 1 else slowdowns
    return Speed(clock, width, tuple(sorted(cuts)))  # sorted: interpolating rounds


def slowdown(now: Reading, own: Reading, power: float = 1.0) -> float:
    """How much longer than on a core to itself something takes now that uses the core's width to this power."""
    narrower = own.width / now.width
    if abs(math.log(narrower)) < _BLUR:
        narrower = 1.0
    return own.clock_ghz / now.clock_ghz * math.pow(narrower, power)


def put_right(samples: Sequence[float], readings: Sequence[Reading], own: Reading, power: float = 1.0) -> tuple[float, ...]:
    """Times as they would be on a core to itself, for what slows down with this power of the width."""
    return tuple(sample / slowdown(now, own, power) for sample, now in zip(samples, readings, strict=True))


def is_calm(now: Reading, own: Reading) -> bool:
    """Was the core our own all the while?"""
    return now.steady and slowdown(now, own) == slowdown(now, own, 0.0)


def kept(samples: Sequence[float], readings: Sequence[Sequence[Reading]], own: Reading) -> list[float]:
    """The samples that an estimate is made from, given the readings that belong to each: those of calm moments, or those during
    which the speed stayed, where they are enough; never NaN."""
    there = [(sample, nows) for sample, nows in zip(samples, readings, strict=True) if not math.isnan(sample)]
    calm = [sample for sample, nows in there if all(is_calm(now, own) for now in nows)]
    if len(calm) >= _LEAST_TO_TELL:
        return calm
    steady = [sample for sample, nows in there if all(now.steady for now in nows)]
    return steady if len(steady) >= max(_LEAST_STEADY, len(there) / 3) else [sample for sample, _ in there]


def power_of(samples: Sequence[float], readings: Sequence[Reading], own: Reading, expected: float = 1.0) -> float:
    """The power of the width that leaves the least spread among these times; where they do not tell the `expected` one
    (`Experiment.width_power`)."""
    pairs = [
        (math.log(sample / slowdown(now, own, 0.0)), math.log(slowdown(now, own) / slowdown(now, own, 0.0)))
        for sample, now in zip(samples, readings, strict=True)
        if sample > 0 and now.steady  # and no NaN
    ]
    if len(pairs) < 8 or _spread([width for _, width in pairs]) < _LEAST_MOVE:
        return expected

    def left(power: float) -> float:
        return _spread([time - power * width for time, width in pairs]) + _PRIOR * abs(power - expected)

    return min(_GRID, key=left)


def _spread(values: Sequence[float]) -> float:
    q1, _, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return q3 - q1
