"""Does a program do what a reference does wherever it does anything, and nothing where it leaves the work to somebody else?

The reference is a whole program; the candidate may hand an input over, and then has to leave everything as it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from bpfsmith.semantics.access import Obligation
from bpfsmith.semantics.cut import light
from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.memory import Bytes, joined
from bpfsmith.semantics.observables import Observable, packet_observables
from bpfsmith.semantics.recorded import PacketView
from bpfsmith.semantics.solver import Limits, Unsatisfiable, satisfiable
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.sweep import Sweep
from bpfsmith.semantics.terms import Term, Terms, postorder, rebuild
from bpfsmith.semantics.verdict import Unknown
from bpfsmith.semantics.witness import TEST_RUN, Assignment

LESS = 2
"""The questions are many: each gets such a part of the solvers' usual limits."""

SEEDS = 60
SMALL = 60
"""Terms of a condition up to which it is asked for first."""

MOST_PLACES = 512
"""Bytes of a variable that are questions of their own, where only some were written."""


@dataclass(frozen=True, slots=True)
class Variable:
    """State of `size` bytes that both sides have, in terms of the same inputs: before a run, and after it."""

    name: str
    size: int
    before: Bytes
    after: Bytes


@dataclass(frozen=True, slots=True)
class End:
    """One of the ends of a side: where it is reached, the result (32 bits), the packet (None: as it came), what its calls were
    given, and its variables."""

    path: tuple[Term, ...]
    result: Term
    packet: PacketView | None
    recorded: dict[str, Bytes]
    variables: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class Apart:
    """An input on which the candidate does not refine the reference, as the prover sees it: what differs, and the packet."""

    observable: str
    packet: bytes


@dataclass(slots=True)
class Refinement:
    """The questions of one case. `given` are conditions on the inputs; a candidate whose result is `passes` hands over."""

    t: Terms
    given: list[Term]
    passes: Term
    untouched: PacketView  # the packet as it came
    longest: int  # bytes of a packet that is answered or an answer
    limits: Limits = field(default_factory=lambda: Limits(Limits().bitwuzla_steps // LESS, Limits().z3_rlimit // LESS))

    deadline: float = inf  # of time.process_time

    def check(
        self, reference: Sequence[End] | None, candidate: Sequence[End], obligations: Sequence[Obligation]
    ) -> Apart | Unknown | None:
        """None when it holds. Without a reference the candidate has to hand over always."""
        t, given = self.t, self.given
        for obligation in obligations:
            if not self._excluded([obligation.condition]):
                return Unknown(obligation.gap, obligation.detail)
        for end in candidate:
            if time.process_time() > self.deadline:
                return Unknown("time-limit", "there are too many questions")
            handed = t.eq(32, end.result, self.passes)
            self.given = [*given, *end.path]
            found = self._asked([*self._where(handed, list(self._nothing_done(end)))])
            if found is not None:
                return found
            if handed is t.true:
                continue
            if reference is None:
                if not self._excluded([t.negate(handed)]):
                    return Apart("who answers", b"")
                continue
            for other in reference:
                self.given = [*given, *end.path, *other.path, t.negate(handed)]
                found = self._asked([*self._the_same(other, end)])
                if found is not None:
                    return found
        self.given = given
        return None

    def _excluded(self, conditions: list[Term]) -> bool:
        """Can this not be, by what is given? What is large among it is left out first: it seldom matters, and takes long."""
        if self.t.all_of(*self.given, *conditions) is self.t.false:
            return True
        small = [item for item in self.given if len(postorder(item)) <= SMALL]
        quick = replace(self.limits, solver="bitwuzla")
        whole = [*self.given, *conditions]
        asked = [[*small, *conditions], whole, light(self.t, whole)]
        return any(isinstance(satisfiable(one, quick), Unsatisfiable) for one in dict.fromkeys(map(tuple, asked)))

    def _nothing_done(self, candidate: End) -> Iterator[Observable]:
        """The packet and the variables are as they were."""
        t = self.t
        if candidate.packet is not None:
            yield from packet_observables(t, self.untouched, candidate.packet, "packet handed over")
        for item in candidate.variables:
            yield from _bytes(t, f"{item.name} where handed over", item.size, item.before, item.after)

    def _the_same(self, reference: End, candidate: End) -> Iterator[Observable]:
        """Everything is as the reference leaves it."""
        t = self.t
        yield Observable("result", reference.result, candidate.result, t.true)
        if reference.packet is not None or candidate.packet is not None:
            ours, theirs = (side.packet or self.untouched for side in (reference, candidate))
            yield from self._reply(ours, theirs)
        nothing = Bytes(lambda offset: t.const(8, 0))
        for channel in sorted(reference.recorded.keys() | candidate.recorded.keys()):
            a, b = (side.recorded.get(channel, nothing) for side in (reference, candidate))
            written = a.written(), b.written()
            if written[0] is None or written[1] is None:
                raise Unmodelled("unmodelled-helper", f"{channel} is called a varying number of times")
            for at in sorted({offset // 8 * 8 for offset in written[0] | written[1]}):
                yield Observable(f"what {channel} is given", _word(t, a, at), _word(t, b, at), t.true)
        for left, right in zip(reference.variables, candidate.variables, strict=True):
            yield from _bytes(t, left.name, left.size, left.after, right.after)

    def _reply(self, left: PacketView, right: PacketView) -> Iterator[Observable]:
        """Length and bytes, two by two (as checksums are) up to the length that packets have at most."""
        t = self.t
        yield Observable("length of the reply", left.length, right.length, t.true)
        length = next((side.length.number for side in (left, right) if side.length.is_const), self.longest)
        for at in range(0, length, 2):
            sides = []
            for view in (left, right):
                sides.append(joined(t, [view.byte(t, t.const(64, i)) for i in range(at, min(at + 2, length))]))
            yield Observable(f"byte {at} of the reply", sides[0], sides[1], t.ult(64, t.const(64, at), left.length))

    def _where(self, condition: Term, items: Sequence[Observable]) -> Iterator[Observable]:
        for item in items:
            parts = tuple(self._where(condition, item.parts))
            yield replace(item, where=self.t.all_of(condition, item.where), parts=parts)

    # --- answers ------------------------------------------------------------------------------------------------------
    def _asked(self, questions: list[Observable]) -> Apart | Unknown | None:
        t = self.t
        left = [item for item in questions if item.differs(t) is not t.false]
        known = dict(_facts(t, self.given))
        left = [self._known(item, known) for item in left]
        left = [item for item in left if item.differs(t) is not t.false]
        if not left or self._excluded([t.any_of(*(item.differs(t) for item in left))]):
            return None
        found = self._by_chance(left)
        if found is not None:
            return found
        for item in left:
            if time.process_time() > self.deadline:
                return Unknown("time-limit", f"{item.name}: there are too many questions")
            answer = self._ask(item)
            if answer is not None:
                return answer
        return None

    def _known(self, item: Observable, known: dict[Term, Term]) -> Observable:
        """The question with what is given put in the place of the conditions that say it."""
        for term in postorder(item.left, item.right):
            if term not in known:
                known[term] = rebuild(self.t, term, [known[arg] for arg in term.args]) if term.args else term
        return replace(item, left=known[item.left], right=known[item.right])

    def _by_chance(self, left: list[Observable]) -> Apart | None:
        differences = [item.differs(self.t) for item in left]
        for seed in range(SEEDS):
            inputs = Assignment({}, seed, TEST_RUN)
            values = evaluate([*self.given, *differences], inputs)
            if all(values[: len(self.given)]):
                for item, differs in zip(left, values[len(self.given) :], strict=True):
                    if differs:
                        return Apart(item.name, _packet_of(inputs))
        return None

    def _ask(self, item: Observable) -> Apart | Unknown | None:
        t = self.t
        if item.parts and all(self._proved(part) for part in item.parts):
            return None
        if self._proved(item):
            return None
        ((a, b),) = Sweep(t, self.given, dict(TEST_RUN)).run([(item.left, item.right)])
        answer = satisfiable([*self.given, replace(item, left=a, right=b).differs(t)], self.limits)
        if isinstance(answer, Unsatisfiable):
            return None
        values = getattr(answer, "values", None)
        if values is None:
            return Unknown("solver-limit", f"{item.name}: the solvers do not decide it")
        return Apart(item.name, _packet_of(Assignment(dict(values), None, TEST_RUN)))

    def _proved(self, item: Observable) -> bool:
        return self._excluded([item.differs(self.t)])


def _facts(t: Terms, given: list[Term]) -> Iterator[tuple[Term, Term]]:
    """Conditions that are plainly given, and their opposites, with what they are."""
    for condition in given:
        for part in condition.args if condition.op == "conj" else (condition,):
            yield part, t.true
            yield t.negate(part), t.false


def _word(t: Terms, memory: Bytes, at: int) -> Term:
    value = memory.load(t, t.const(64, at), 8)
    assert isinstance(value, Term)
    return value


def _bytes(t: Terms, name: str, size: int, left: Bytes, right: Bytes) -> list[Observable]:
    """A variable's bytes on both sides: word by word where it is known which were written, else one byte anywhere."""
    written = left.written(), right.written()
    if written[0] is not None and written[1] is not None and len(written[0] | written[1]) <= MOST_PLACES:
        out = []
        for at in sorted({offset // 8 * 8 for offset in written[0] | written[1]}):
            sides = []
            for memory in (left, right):
                parts = [memory.load(t, t.const(64, i), 1) for i in range(at, min(at + 8, size))]
                sides.append(joined(t, [part for part in parts if isinstance(part, Term)]))
            out.append(Observable(name, sides[0], sides[1], t.true))
        return out
    at_any = t.app(f"place in {name}", 64)
    ours, theirs = left.load(t, at_any, 1), right.load(t, at_any, 1)
    assert isinstance(ours, Term)
    assert isinstance(theirs, Term)
    return [Observable(name, ours, theirs, t.ult(64, at_any, t.const(64, size)))]


def _packet_of(inputs: Assignment) -> bytes:
    length = inputs("packet_length", 16, ())
    return bytes(inputs("packet", 8, (at,)) for at in range(min(length, 2048)))
