"""Tries changes until the verifier accepts: each on a copy, compiled and loaded; a change may uncover the next rejection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import Rejected
from bpfsmith.objfile.object import Object
from bpfsmith.repair.diagnose import Diagnosis, diagnose
from bpfsmith.repair.locate import last_span
from bpfsmith.repair.patch import Patch
from bpfsmith.repair.propose import proposals


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a text: the program and its object, and the verifier's refusal where there was one."""

    program: Program
    obj: Object
    rejected: Rejected | None


Attempt = Callable[[str, str | None], Tried | None]
"""Compiles a text (for an -mcpu, or the usual one) and loads the program; None where it does not compile or load."""


AttemptAll = Callable[[Sequence[tuple[str, str | None]]], Sequence[Tried | None]]
"""The same for several texts at once, where each asking is dear: a boot of another kernel."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A text that the verifier accepts, the changes that led there, and about how many were tried."""

    text: str
    patches: tuple[Patch, ...]
    tried: Tried
    attempts: int


@dataclass
class _Budget:
    """What is left to be tried. Loads that take long count as several: a million insns take the verifier a second."""

    attempts: float

    def spend(self, seconds: float) -> None:
        self.attempts -= max(1.0, seconds * 2)


MOST_ATTEMPTS, MOST_STEPS, MOST_FRONTS = 80, 4, 4


def repairs(found: Diagnosis, text: str, attempt: Attempt) -> Iterator[Repair]:
    """The texts that are accepted, depth first in the order of the candidates, as long as there is something left to try."""
    budget = _Budget(MOST_ATTEMPTS)
    for changed, patches, tried in _search(found, text, None, attempt, (), budget):
        yield Repair(changed, patches, tried, round(MOST_ATTEMPTS - budget.attempts))


def repairs_in_rounds(found: Diagnosis, text: str, attempt_all: AttemptAll) -> Iterator[Repair]:
    """As `repairs`, one asking for all candidates of a round: what one change can do, then what two can."""
    fronts: list[tuple[Diagnosis, str, str | None, tuple[Patch, ...]]] = [(found, text, None, ())]
    attempts = 0
    for _ in range(MOST_STEPS):
        candidates = [
            (front, patch, changed, patch.cpu or front[2])
            for front in fronts
            for patch in proposals(front[0], front[1])
            if (changed := patch.apply(front[1])) != front[1] or patch.cpu is not None
        ][:MOST_ATTEMPTS]
        outcomes = attempt_all([(changed, cpu) for _, _, changed, cpu in candidates]) if candidates else ()
        attempts += len(candidates)
        following: list[tuple[Diagnosis, str, str | None, tuple[Patch, ...]]] = []
        for (front, patch, changed, cpu), tried in zip(candidates, outcomes, strict=True):
            if tried is None:
                continue
            patches = (*front[3], patch)
            if tried.rejected is None:
                yield Repair(changed, patches, tried, attempts)
                continue
            after = diagnose(tried.program, tried.rejected, tried.obj, changed)
            if after.kind is not None and _moved(front[0], after, changed, front[1]):
                following.append((after, changed, cpu, patches))
        fronts = following[:MOST_FRONTS]


def _search(
    found: Diagnosis, text: str, cpu: str | None, attempt: Attempt, so_far: tuple[Patch, ...], budget: _Budget
) -> Iterator[tuple[str, tuple[Patch, ...], Tried]]:
    progress: list[tuple[Diagnosis, str, str | None, tuple[Patch, ...]]] = []
    for patch in proposals(found, text):
        if budget.attempts <= 0:
            return
        changed = patch.apply(text)
        if changed == text and patch.cpu is None:
            continue
        started = time.process_time()  # what the kernel does for us counts, the compiler and other work of the machine do not
        tried = attempt(changed, patch.cpu or cpu)
        budget.spend(time.process_time() - started)
        if tried is None:
            continue
        patches = (*so_far, patch)
        if tried.rejected is None:
            yield changed, patches, tried
            continue
        following = diagnose(tried.program, tried.rejected, tried.obj, changed)
        if following.kind is not None and _moved(found, following, changed, text) and len(patches) < MOST_STEPS:
            progress.append((following, changed, patch.cpu or cpu, patches))
    # Breadth before depth: what one change can do is not done with two.
    for following, changed, chosen, patches in progress[:MOST_FRONTS]:
        yield from _search(following, changed, chosen, attempt, patches, budget)


def _moved(before: Diagnosis, after: Diagnosis, changed: str, text: str) -> bool:
    """Is the new rejection another one: of another kind, in other words, or about another statement?"""
    if before.kind is not after.kind:
        return True
    if after.case.words != before.case.words:
        return True
    spans = ((last_span(before.case), last_span(after.case)), (before.story.primary.span, after.story.primary.span))
    lines, others = text.split("\n"), changed.split("\n")
    return any(
        old.line <= len(lines) and new.line <= len(others) and lines[old.line - 1].strip() != others[new.line - 1].strip()
        for old, new in spans
        if old is not None and new is not None
    )
