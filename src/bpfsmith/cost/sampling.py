"""Rounds of samples, and what may be concluded from them: medians with intervals, and orderings that resolve or do not.

Machines are shared and their speed flips by 20 %. So nothing is compared that was not measured in the same rounds, one sample
of each in every round; a difference counts only where an interval of the paired ratios leaves out 1 by more than two samplings
of one and the same thing differ (the A/A control).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

CONFIDENCE = 0.99
LEAST_DIFFERENCE = 0.03
"""A ratio nearer to 1 than this never resolves: layout of code and data alone moves programs by that much."""
_QUIET_SPREAD = 0.10


@dataclass(frozen=True, slots=True)
class Estimate:
    """The median of `samples` samples; `low` and `high` bound it with 99 % confidence, `q1` and `q3` are the quartiles."""

    value: float
    low: float
    high: float
    q1: float
    q3: float
    samples: int

    @property
    def spread(self) -> float:
        """The distance of the quartiles."""
        return self.q3 - self.q1

    @property
    def noisy(self) -> bool:
        """Are the quartiles further apart than a tenth of the median?"""
        return self.spread > _QUIET_SPREAD * abs(self.value)


@dataclass(frozen=True, slots=True)
class Resolved:
    """left / right is `ratio`, and 1 lies outside [low, high] and outside the noise: an ordering."""

    ratio: float
    low: float
    high: float

    @property
    def left_is_less(self) -> bool:
        return self.ratio < 1


@dataclass(frozen=True, slots=True)
class NotResolved:
    """The samples do not say which is more; `reason` tells what was in the way."""

    ratio: float
    low: float
    high: float
    reason: str


Comparison = Resolved | NotResolved


def estimate(samples: Sequence[float]) -> Estimate:
    """The median with its interval, free of assumptions on the distribution (order statistics)."""
    ordered = sorted(samples)
    below = _rank(len(ordered))
    if len(ordered) < 2:
        return Estimate(ordered[0], -math.inf, math.inf, ordered[0], ordered[0], len(ordered))
    q1, median, q3 = statistics.quantiles(ordered, n=4, method="inclusive")
    low, high = (ordered[below], ordered[-1 - below]) if below >= 0 else (-math.inf, math.inf)
    return Estimate(median, low, high, q1, q3, len(ordered))


@cache
def _rank(samples: int) -> int:
    """The k of the widest-in interval [x_k, x_(n-1-k)] that holds the median with `CONFIDENCE`; -1 when there is none."""
    outside, rank = 0.0, -1
    for k in range(samples // 2):
        outside += 2 * math.comb(samples, k) / 2**samples
        if outside > 1 - CONFIDENCE:
            return rank
        rank = k
    return rank


def above(samples: Sequence[float], floor: Sequence[float]) -> tuple[float, ...]:
    """What is left of each sample when the floor of its own round is taken off."""
    return tuple(sample - base for sample, base in zip(samples, floor, strict=True))


def compare(left: Sequence[float], right: Sequence[float], noise: float = 0.0) -> Comparison:
    """Which is more, by paired ratios; `noise` is what an A/A control differs by (0.02: 2 %)."""
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a > 0 and b > 0]
    if len(pairs) < max(8, 0.8 * len(left)):
        return _by_difference(left, right)
    logs = estimate([math.log(a / b) for a, b in pairs])
    ratio, low, high = (math.exp(item) for item in (logs.value, max(logs.low, -700), min(logs.high, 700)))
    least = math.log1p(max(noise, LEAST_DIFFERENCE))
    if logs.low <= 0 <= logs.high:
        return NotResolved(ratio, low, high, f"the ratio lies between {low:.3g} and {high:.3g}")
    if min(abs(logs.low), abs(logs.high)) < least:
        return NotResolved(ratio, low, high, f"they differ by less than {math.expm1(least):.0%}, the least that counts here")
    return Resolved(ratio, low, high)


def _by_difference(left: Sequence[float], right: Sequence[float]) -> Comparison:
    """For what is about nothing above its floor, where ratios say nothing: the sign of the difference."""
    difference = estimate(above(left, right))
    ratio = _safe_ratio(estimate(left).value, estimate(right).value)
    if difference.low > 0:
        return Resolved(max(ratio, 1 + LEAST_DIFFERENCE), ratio, math.inf)
    if difference.high < 0:
        return Resolved(min(ratio, 1 - LEAST_DIFFERENCE), 0.0, ratio)
    return NotResolved(ratio, 0.0, math.inf, "one of them is not above its floor")


def _safe_ratio(left: float, right: float) -> float:
    if right <= 0:
        return math.inf if left > 0 else 1.0
    return max(left, 0.0) / right


def noise_of(first: Sequence[float], second: Sequence[float]) -> float:
    """The A/A control: by how much two samplings of the same thing differ, at the outer end of the interval (0.02: 2 %)."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a > 0 and b > 0]
    if len(pairs) < 2:
        return math.inf
    logs = estimate([math.log(a / b) for a, b in pairs])
    return math.expm1(min(max(abs(logs.low), abs(logs.high)), 700.0))
