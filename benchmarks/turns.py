"""Ways of doing one thing, measured in turns on a machine that may be busy: differences within a round, and how sure they are.

One round runs each way once, in an order of its own, and the floor at both of its ends. What is said of a way is the median of
its differences from the floor of the same round, with an interval from resampling the rounds (95 %); a bar is met or missed
only where the whole interval lies on one side of it. What the two floors of a round differ by is the noise.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

_RESAMPLES = 2000
FLOOR = "no probes"


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float

    def against(self, bar: float) -> str:
        """Is a value that should be at least `bar` known to be?"""
        return "met" if self.low >= bar else "missed" if self.high < bar else "not resolved"


Rounds = Mapping[str, Sequence[float]]
"""Nanoseconds beyond the floor by way, one for each round; the floor's own entry holds its absolute values."""


@dataclass(frozen=True)
class Measured:
    """`noise` is half the rounds' typical distance between their two floors, in nanoseconds."""

    extra: Rounds
    noise: float

    def interval(self, figure: Callable[[Rounds], float]) -> Interval:
        """A figure of the rounds, and what it is for 95 % of resamples."""
        count, generator = len(next(iter(self.extra.values()))), random.Random(1)
        found = []
        for _ in range(_RESAMPLES):
            chosen = [generator.randrange(count) for _ in range(count)]
            found.append(figure({name: [values[i] for i in chosen] for name, values in self.extra.items()}))
        found.sort()
        return Interval(figure(self.extra), found[int(0.025 * _RESAMPLES)], found[int(0.975 * _RESAMPLES) - 1])


def in_turns(ways: Mapping[str, Callable[[], float]], rounds: int, show: Callable[[str], None]) -> Measured:
    """Runs every way (FLOOR among them) `rounds` times."""
    generator = random.Random(2)
    extra: dict[str, list[float]] = {name: [] for name in ways}
    noise = []
    for number in range(rounds):
        names = [name for name in ways if name != FLOOR]
        generator.shuffle(names)
        show(f"round {number + 1} of {rounds}")
        first = ways[FLOOR]()
        seen = {name: ways[name]() for name in names}
        last = ways[FLOOR]()
        floor = (first + last) / 2
        noise.append(abs(first - last) / 2)
        extra[FLOOR].append(floor)
        for name, value in seen.items():
            extra[name].append(value - floor)
    return Measured(extra, median(noise))


def saved(new: str, old: str, beyond: str | None = None) -> Callable[[Rounds], float]:
    """Percent that `new` saves of what `old` costs beyond another way (or beyond the floor)."""

    def figure(rounds: Rounds) -> float:
        def cost(name: str) -> float:
            base = rounds[beyond] if beyond is not None else [0.0] * len(rounds[name])
            return median(a - b for a, b in zip(rounds[name], base, strict=True))

        return 100 * (1 - cost(new) / cost(old)) if cost(old) else 0.0

    return figure


def busy() -> str:
    """What runs beside: the load of the last minute and the number of CPUs."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
