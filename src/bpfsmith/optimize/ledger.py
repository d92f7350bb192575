"""What was changed, step by step, and which steps may not be made.

Every pass asks before each change. The same function with the same ledger takes the same steps in the same order, so that a
step can be named by its number: that is how the one that a verifier or a proof does not like is found and left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import process_time

from bpfsmith.source import Span


@dataclass(frozen=True, slots=True)
class Step:
    """One change: its number, the rule or pass, the source line it is at, and what was done in words."""

    number: int
    rule: str
    span: Span | None
    what: str


Where = tuple[str, Span | None]
"""A rule, and the line at which it is applied."""


@dataclass(slots=True)
class Ledger:
    """Steps from `limit` on, those in `left_out`, those of `barred` rules or places, and all after the time `until` (by
    `time.process_time`) are refused."""

    limit: int | None = None
    left_out: frozenset[int] = frozenset()
    barred: frozenset[str | Where] = frozenset()
    steps: list[Step] = field(default_factory=list)
    asked: int = 0
    until: float | None = None

    def allows(self, rule: str, span: Span | None, what: str) -> bool:
        """May this change be made? If so it is on record as made."""
        number = self.asked
        self.asked += 1
        if rule in self.barred or (rule, span) in self.barred or number in self.left_out or self.exhausted:
            return False
        self.steps.append(Step(number, rule, span, what))
        return True

    @property
    def exhausted(self) -> bool:
        """Is every further step refused?"""
        return (self.limit is not None and self.asked > self.limit) or self.late

    @property
    def late(self) -> bool:
        return self.until is not None and process_time() > self.until
