"""One function made better and proved: passes, simulation proof, and the search for the step that a judge does not like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from time import process_time

from bpfsmith.isa.insn import slot_starts
from bpfsmith.objfile.code import Function
from bpfsmith.objfile.writer import NewCode
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.flow import Mismatch
from bpfsmith.optimize.graph import Graph, Irregular
from bpfsmith.optimize.ledger import Ledger, Step, Where
from bpfsmith.optimize.pipeline import Stage, optimise
from bpfsmith.optimize.simulate import Simulated, simulate
from bpfsmith.optimize.state import TooHard

MAX_LEFT_OUT = 6
"""How many times a step is looked for and left out (and with it the whole rule, where it was to blame before) until a function
stays as it was from the first of them on."""


MAX_BLAMED = 3
"""How often a rule is to blame until it is not used any more."""


@dataclass(frozen=True, slots=True)
class Effort:
    """`patience` is how many steps that are not proved may be looked for and left out, `seconds` after how long no more steps
    are looked for (None: no limit): what there is then is proved and taken."""

    patience: int = MAX_LEFT_OUT
    seconds: float | None = None


DEFAULT = Effort()


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
    barred: frozenset[str | Where] = frozenset()
    limit: int | None = None
    refused: tuple[str, ...] = field(default=())  # in words: which steps, and who refused them


Accepts = Callable[[NewCode], bool]


def improve(function: Function, around: Surroundings, effort: Effort = DEFAULT) -> Improved:
    """The passes over a function, proved. Nothing is raised: what cannot be optimised comes back with the reason."""
    return _attempt(function, around, effort)


def restricted(improved: Improved, around: Surroundings, accepts: Accepts, judge: str, effort: Effort = DEFAULT) -> Improved:
    """The function again, without the steps that `accepts` does not like; `judge` names whose opinion it is."""
    current = improved
    blamed: Counter[str] = Counter()
    for _ in range(MAX_LEFT_OUT):
        if current.code is None or accepts(current.code):
            return current
        first_bad = _first_bad(current, around, accepts, effort)
        if first_bad is None:
            break
        words = f"{judge}: {_describe(current, first_bad)}"
        barred = current.barred | {_to_bar(current.steps, first_bad, blamed)}
        again = _attempt(current.function, around, effort, replace(current, barred=barred))
        current = replace(again, refused=(*current.refused, words))
    if current.code is None or accepts(current.code):
        return current
    return replace(_unchanged(current.function, f"{judge} accepts none of the forms that were tried"), refused=current.refused)


def _to_bar(steps: Iterable[Step], number: int, blamed: Counter[str]) -> str | Where:
    """What is refused from now on when a step is to blame: its rule at its line, and everywhere the third time."""
    step = next(step for step in steps if step.number == number)
    blamed[step.rule] += 1
    return (step.rule, step.span) if blamed[step.rule] < MAX_BLAMED else step.rule


def _describe(improved: Improved, number: int) -> str:
    step = next((item for item in improved.steps if item.number == number), None)
    return f"{step.rule} at {step.span or improved.function.name}" if step else f"step {number}"


def _first_bad(current: Improved, around: Surroundings, accepts: Accepts, effort: Effort) -> int | None:
    """The number of the first step after which the result is not accepted (bisection over prefixes)."""
    numbers = [step.number for step in current.steps]
    low, high = 0, len(numbers) - 1
    while low < high:
        middle = (low + high) // 2
        attempt = _attempt(current.function, around, effort, replace(current, limit=numbers[middle] + 1))
        if attempt.code is None or accepts(attempt.code):
            low = middle + 1
        else:
            high = middle
    return numbers[high] if numbers else None


def _unchanged(function: Function, reason: str) -> Improved:
    slots = slot_starts(function.insns)[-1]
    return Improved(function, slots, slots, reason=reason)


def _attempt(function: Function, around: Surroundings, effort: Effort, as_in: Improved | None = None) -> Improved:
    """The function without the steps that `as_in` leaves out."""
    try:
        before = Graph.of(function.name, function.insns, function.core_relos)
        until = None if effort.seconds is None else process_time() + effort.seconds
        given = as_in if as_in is not None else _unchanged(function, "")
        ledger = Ledger(given.limit, given.left_out, given.barred, until=until)
        return _Proving(function, around, ledger, before).run(effort.patience)
    except (Irregular, TooHard, Mismatch) as reason:
        return _unchanged(function, str(reason))


@dataclass(slots=True)
class _Proving:
    """Passes and their proof, from the last form that is proved on; `pairs` of blocks were compared so far."""

    function: Function
    around: Surroundings
    ledger: Ledger
    proved: Graph
    pairs: int = 0
    refused: list[str] = field(default_factory=list)
    blamed: Counter[str] = field(default_factory=Counter)

    def run(self, patience: int) -> Improved:
        """What the passes make of the function as a whole, if that is proved at once; else stage by stage, where a step that is
        not proved is found and left out, `patience` times."""
        for left in range(patience, -1, -1):
            trail: list[Stage] = []
            start = self.proved
            after = optimise(start, self.around, self.ledger, trail)
            if self._holds(start, after):
                self.proved = after
                break
            if self._all_hold(trail, again=left > 0):
                break
        return self._result()

    def _holds(self, before: Graph, after: Graph) -> bool:
        proof = simulate(before, after, self.around)
        if isinstance(proof, Simulated):
            self.pairs += proof.pairs
        return isinstance(proof, Simulated)

    def _all_hold(self, trail: list[Stage], again: bool) -> bool:
        """Follows the stages as far as they are proved; what comes after the first that is not is taken back, and the step that
        is to blame is barred if there is another time for it."""
        for stage in trail:
            joins = stage.before.blocks == self.proved.blocks or self._holds(self.proved, stage.before)
            if not joins or not (stage.is_proved or self._holds(stage.before, stage.after)):
                if again:
                    self._bar(stage)
                del self.ledger.steps[stage.first :]
                self.ledger.asked = stage.asked
                return False
            self.proved = stage.after
        return True

    def _bar(self, stage: Stage) -> None:
        """Bars the step of a stage that is to blame at its line, or its rule if that was to blame before."""
        steps = self.ledger.steps[stage.first : stage.end]
        step = steps[0] if stage.again is None or len(steps) == 1 else self._first_bad(stage, stage.again, steps)
        self.refused.append(f"proof: {step.rule} at {step.span or self.function.name}")
        self.ledger.barred |= {_to_bar([step], step.number, self.blamed)}

    def _first_bad(self, stage: Stage, again: Callable[[Graph, Ledger], object], steps: list[Step]) -> Step:
        low, high = 0, len(steps) - 1
        while low < high:
            middle = (low + high) // 2
            trial = stage.before.copy()
            again(trial, Ledger(steps[middle].number + 1, self.ledger.left_out, self.ledger.barred, asked=stage.asked))
            low, high = (middle + 1, high) if self._holds(stage.before, trial) else (low, middle)
        return steps[low]

    def _result(self) -> Improved:
        code = self.proved.code()
        before_slots, after_slots = slot_starts(self.function.insns)[-1], slot_starts(code.insns)[-1]
        notes = tuple(self.refused)
        if self.ledger.late:
            notes += ("no steps were looked for after the time limit",)
        ledger = self.ledger
        if after_slots >= before_slots:
            unchanged = _unchanged(self.function, "")
            return replace(unchanged, left_out=ledger.left_out, barred=ledger.barred, refused=notes)
        return Improved(
            self.function, before_slots, after_slots, code, tuple(ledger.steps), self.pairs, "",
            ledger.left_out, ledger.barred, ledger.limit, notes,
        )  # fmt: skip
