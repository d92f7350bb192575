"""One function made better and proved: passes, simulation proof, and the search for the step that a judge does not like."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from bpfsmith.isa.insn import slot_starts
from bpfsmith.objfile.code import Function
from bpfsmith.objfile.writer import NewCode
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.flow import Mismatch
from bpfsmith.optimize.graph import Graph, Irregular
from bpfsmith.optimize.ledger import Ledger, Step
from bpfsmith.optimize.pipeline import optimise
from bpfsmith.optimize.simulate import NotSimulated, Simulated, simulate
from bpfsmith.optimize.state import TooHard

MAX_LEFT_OUT = 6
"""How many times a step is looked for and left out (and with it the whole rule, where it was to blame before) until a function
stays as it was from the first of them on."""

HARD_TO_PROVE = frozenset({"path-splitting"})
"""Rules after which values of one side depend on the way that was taken, which the simulation may have forgotten."""


@dataclass(frozen=True, slots=True)
class Improved:
    """A function before and after. `code` is None where nothing was gained, and `reason` may say why.

    `pairs` is the number of pairs of blocks that the simulation proof compared; `left_out` are the numbers of steps that were
    not taken, and `limit` the first of those that were not tried.
    """

    function: Function
    slots_before: int
    slots_after: int
    code: NewCode | None = None
    steps: tuple[Step, ...] = ()
    pairs: int = 0
    reason: str = ""
    left_out: frozenset[int] = frozenset()
    barred: frozenset[str] = frozenset()
    limit: int | None = None
    refused: tuple[str, ...] = field(default=())  # in words: which steps, and who refused them


Accepts = Callable[[NewCode], bool]


def improve(function: Function, around: Surroundings, patience: int = MAX_LEFT_OUT) -> Improved:
    """The passes over a function, proved. Nothing is raised: what cannot be optimised comes back with the reason. `patience` is
    how many steps that are not proved may be looked for and left out."""
    return _attempt(function, around, None, patience)


def restricted(improved: Improved, around: Surroundings, accepts: Accepts, judge: str) -> Improved:
    """The function again, without the steps that `accepts` does not like; `judge` names whose opinion it is."""
    current = improved
    blamed: set[str] = set()
    for _ in range(MAX_LEFT_OUT):
        if current.code is None or accepts(current.code):
            return current
        first_bad = _first_bad(current, around, accepts)
        if first_bad is None:
            break
        words = f"{judge}: {_describe(current, first_bad)}"
        left_out, barred = _without(current.steps, first_bad, current.left_out, current.barred, blamed)
        again = _attempt(current.function, around, replace(current, left_out=left_out, barred=barred))
        current = replace(again, refused=(*current.refused, words))
    if current.code is None or accepts(current.code):
        return current
    return replace(_unchanged(current.function, f"{judge} accepts none of the forms that were tried"), refused=current.refused)


def _without(
    steps: Iterable[Step], number: int, left_out: frozenset[int], barred: frozenset[str], blamed: set[str]
) -> tuple[frozenset[int], frozenset[str]]:
    """What is left out when a step is; its rule too if it was to blame before, which is noted in `blamed`."""
    rule = next((step.rule for step in steps if step.number == number), "")
    again = rule in blamed
    blamed.add(rule)
    return left_out | {number}, barred | {rule} if again and rule else barred


def _describe(improved: Improved, number: int) -> str:
    step = next((item for item in improved.steps if item.number == number), None)
    return f"{step.rule} at {step.span or improved.function.name}" if step else f"step {number}"


def _first_bad(current: Improved, around: Surroundings, accepts: Accepts) -> int | None:
    """The number of the first step after which the result is not accepted (bisection over prefixes)."""
    low, high = 0, max((step.number for step in current.steps), default=-1) + 1
    while low < high:
        middle = (low + high) // 2
        attempt = _attempt(current.function, around, replace(current, limit=middle))
        if attempt.code is None or accepts(attempt.code):
            low = middle + 1
        else:
            high = middle
    return high - 1 if high else None


def _unchanged(function: Function, reason: str) -> Improved:
    slots = slot_starts(function.insns)[-1]
    return Improved(function, slots, slots, reason=reason)


def _attempt(function: Function, around: Surroundings, as_in: Improved | None = None, patience: int = MAX_LEFT_OUT) -> Improved:
    """The function without the steps that `as_in` leaves out."""
    try:
        before = Graph.of(function.name, function.insns, function.core_relos)
        ledger = Ledger(as_in.limit, as_in.left_out, as_in.barred) if as_in is not None else Ledger()
        after = optimise(before, around, ledger)
        proof = simulate(before, after, around)
        if isinstance(proof, Simulated):
            return _result(function, after, ledger, proof)
        if not patience:
            return _unchanged(function, proof.detail)
        return _proved_part(function, around, before, ledger, proof, patience)
    except (Irregular, TooHard, Mismatch) as reason:
        return _unchanged(function, str(reason))


def _result(function: Function, after: Graph, ledger: Ledger, proof: Simulated, refused: tuple[str, ...] = ()) -> Improved:
    code = after.code()
    before_slots, after_slots = slot_starts(function.insns)[-1], slot_starts(code.insns)[-1]
    if after_slots >= before_slots:
        return replace(_unchanged(function, ""), left_out=ledger.left_out, barred=ledger.barred, refused=refused)
    return Improved(
        function, before_slots, after_slots, code, tuple(ledger.steps), proof.pairs, "",
        ledger.left_out, ledger.barred, ledger.limit, refused,
    )  # fmt: skip


def _proved_part(
    function: Function, around: Surroundings, before: Graph, failed: Ledger, why: NotSimulated, patience: int
) -> Improved:
    """Leaves out the rules that are often to blame, then the steps whose result is not proved, one after the other."""
    limit, left_out, barred, refused = failed.limit, failed.left_out, failed.barred, [f"proof: {why.detail}"]

    def tried(limit: int | None) -> tuple[Graph, Ledger, Simulated | NotSimulated]:
        ledger = Ledger(limit, left_out, barred)
        after = optimise(before, around, ledger)
        return after, ledger, simulate(before, after, around)

    if any(step.rule in HARD_TO_PROVE for step in failed.steps):
        barred |= HARD_TO_PROVE
        after, failed, proof = tried(limit)
        if isinstance(proof, Simulated):
            return _result(function, after, failed, proof, tuple(refused))
    high = 0
    blamed: set[str] = set()
    for _ in range(patience):
        low, high = 0, failed.asked if limit is None else min(failed.asked, limit)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if isinstance(tried(middle)[2], Simulated) else (low, middle)
        if not high:
            return _unchanged(function, why.detail)
        left_out, barred = _without(failed.steps, high - 1, left_out, barred, blamed)
        after, failed, proof = tried(limit)
        if isinstance(proof, Simulated):
            return _result(function, after, failed, proof, tuple(refused))
        refused.append(f"proof: {proof.detail}")
    after, failed, proof = tried(high - 1)
    if isinstance(proof, Simulated):
        return _result(function, after, failed, proof, tuple(refused))
    return _unchanged(function, why.detail)
