"""Does it pay to answer requests in the kernel? The break-even of an offload, from costs and a workload.

A request takes `baseline_ns` when a process answers it. With a program in front of it, a share omega of the requests is
answered by the program and takes rho_fast of that; the others pass it and take 1 + rho_slow. It pays where

    omega * rho_fast + (1 - omega) * (1 + rho_slow) < 1
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MARGIN = 0.20
"""How far a predicted cost may be off (the bar that the prediction is held to)."""


class Kind(StrEnum):
    """What the program does for the server: answers all requests, answers some, or works on them and passes all of them on."""

    FULL = "full offload"
    FAST_PATH = "fast-path offload"
    PREPROCESSING = "pre-processing"


class Verdict(StrEnum):
    PAYS = "offload"
    DOES_NOT_PAY = "do not offload"
    TOO_CLOSE = "too close to call"


@dataclass(frozen=True, slots=True)
class Costs:
    """ns a request: `baseline_ns` without offload, `fast_ns` answered in the kernel (None where no path answers), `slow_ns`
    for what the program and its hook add to a request that passes. `saved_ns` is what pre-processing saves the process.
    `program_ns` is the mean time in the program itself, over the workload, `hook_ns` what its hook adds to that."""

    baseline_ns: float
    fast_ns: float | None
    slow_ns: float
    saved_ns: float = 0.0
    program_ns: float = 0.0
    hook_ns: float = 0.0


@dataclass(frozen=True, slots=True)
class Advice:
    """`hits` is the workload's omega. `break_even` is the omega from which on it pays, None where no omega does; `low` and
    `high` are that omega when the predicted costs are `MARGIN` better or worse than thought."""

    kind: Kind
    costs: Costs
    hits: float
    rho_fast: float
    rho_slow: float
    break_even: float | None
    low: float | None
    high: float | None
    verdict: Verdict

    def relative(self, omega: float) -> float:
        """The time of a request at this omega, as a multiple of the time without offload."""
        return omega * self.rho_fast + (1 - omega) * (1 + self.rho_slow)

    @property
    def headline(self) -> str:
        """The answer in one line."""
        if self.kind is Kind.PREPROCESSING:
            gain = -self.rho_slow
            return f"{self.verdict}: each request takes {abs(gain):.1%} {'less' if gain > 0 else 'more'}"
        if self.break_even is None and self.low is not None:
            if_less = f"or from {self.low:.0%} on if costs are {MARGIN:.0%} less than predicted"
            return f"{self.verdict}: it pays at no share of requests that hit, {if_less}"
        if self.break_even is None:
            return f"{self.verdict}: it does not pay at any share of requests that hit"
        if self.break_even == 0:
            return f"{self.verdict}: pays at any share of requests that hit; you have {self.hits:.0%}"
        have = f"pays while at least {self.break_even:.0%} of requests hit; you have {self.hits:.0%}"
        return f"{self.verdict}: {have}"

    @property
    def dearest_answer_ns(self) -> float | None:
        """How long an answer in the kernel may take for the offload to pay at this workload; None where nothing is answered, or
        where what passes has lost it all already."""
        if self.kind is Kind.PREPROCESSING or self.hits == 0:
            return None
        rho = (1 - (1 - self.hits) * (1 + self.rho_slow)) / self.hits
        return rho * self.costs.baseline_ns if rho > 0 else None

    def neighbours(self, per_second: float) -> float:
        """The share of a CPU that the program and its hook take, ahead of any process, at so many requests a second."""
        return per_second * (self.costs.program_ns + self.costs.hook_ns) / 1e9


def break_even(rho_fast: float, rho_slow: float) -> float | None:
    """The least omega at which it pays: 0 where it always does, None where it never does."""
    if rho_slow < 0:  # even what passes gets faster
        return 0.0 if rho_fast <= 1 else None
    if rho_fast >= 1:
        return None
    return rho_slow / (1 + rho_slow - rho_fast)


def advise(costs: Costs, hits: float) -> Advice:
    """What to do at a workload in which the share `hits` (0 to 1) of requests is answered by the program."""
    rho_slow = (costs.slow_ns - costs.saved_ns) / costs.baseline_ns
    if costs.fast_ns is None:
        return _preprocessing(costs, rho_slow)
    rho_fast = costs.fast_ns / costs.baseline_ns
    least = break_even(rho_fast, rho_slow)
    low = break_even(rho_fast * (1 - MARGIN), rho_slow * (1 - MARGIN))
    high = break_even(rho_fast * (1 + MARGIN), rho_slow * (1 + MARGIN))
    if low is None or hits < low:
        verdict = Verdict.DOES_NOT_PAY
    elif high is not None and hits >= high:
        verdict = Verdict.PAYS
    else:
        verdict = Verdict.TOO_CLOSE
    kind = Kind.FULL if hits >= 1 else Kind.FAST_PATH
    return Advice(kind, costs, hits, rho_fast, rho_slow, least, low, high, verdict)


def _preprocessing(costs: Costs, rho_slow: float) -> Advice:
    gain, cost = costs.saved_ns, costs.slow_ns
    if cost * (1 + MARGIN) < gain:
        verdict = Verdict.PAYS
    elif cost * (1 - MARGIN) >= gain:
        verdict = Verdict.DOES_NOT_PAY
    else:
        verdict = Verdict.TOO_CLOSE
    return Advice(Kind.PREPROCESSING, costs, 0.0, 1 + rho_slow, rho_slow, None, None, None, verdict)
