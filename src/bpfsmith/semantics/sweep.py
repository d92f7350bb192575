"""Cutpoints: proves inner terms equal from the leaves up, so that the outermost question becomes small.

Two programs that compute the same thing share more than their results. Terms that agree on all random inputs so far are taken
as candidates; the solver proves them equal (or gives an input that tells them apart, which joins the random ones), and what is
proved is replaced everywhere above. What both sides share below a question, then its multiplications and divisions, are first
cut off and replaced by free variables: that proves most equalities without looking into them, and what it proves holds for
every value of what was cut off.
(SAT sweeping, Kuehlmann and Krohm, DAC 1997, on words instead of gates.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bpfsmith.semantics.context import contextual
from bpfsmith.semantics.evaluate import evaluate, step
from bpfsmith.semantics.solver import Limits, Satisfiable, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import BOOL, Term, Terms, postorder, postorder_until, rebuild
from bpfsmith.semantics.witness import Assignment

VECTORS = 40
MAX_QUERIES = 400
HEAVY = frozenset({"udiv", "mul"})
_QUICK = Limits(bitwuzla_ms=150, solver="bitwuzla")


LEFT, RIGHT = 1, 2


@dataclass(slots=True)
class Sweep:
    """Merges provably equal subterms of pairs of roots, left sides with right sides, under the conditions `given`."""

    t: Terms
    given: list[Term]
    usual: dict[tuple[str, tuple[int, ...]], int]
    vectors: list[Assignment] = field(default_factory=list)
    queries: int = 0
    merged: int = 0
    _values: dict[Term, list[int]] = field(default_factory=dict)
    _sides: dict[Term, int] = field(default_factory=dict)
    _light: dict[Term, Term] = field(default_factory=dict)

    def run(self, pairs: list[tuple[Term, Term]]) -> list[tuple[Term, Term]]:
        """The pairs with equal subterms made identical; each term is equal to what went in wherever `given` holds."""
        self._draw_vectors()
        flat = contextual(self.t, [root for pair in pairs for root in pair])
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        sides: dict[Term, int] = {}
        for side, roots in ((LEFT, [a for a, _ in pairs]), (RIGHT, [b for _, b in pairs])):
            for term in postorder(*roots):
                sides[term] = sides.get(term, 0) | side
        replaced: dict[Term, Term] = {}
        classes: dict[tuple[int, ...], list[Term]] = {}
        for term in postorder(*(root for pair in pairs for root in pair)):
            new = rebuild(self.t, term, [replaced[arg] for arg in term.args])
            self._sides[new] = self._sides.get(new, 0) | sides[term]
            replaced[term] = self._representative(new, classes) if new.args else new
            self._sides[replaced[term]] = self._sides.get(replaced[term], 0) | sides[term]
        return [(replaced[a], replaced[b]) for a, b in pairs]

    def _draw_vectors(self) -> None:
        seed = 0
        while len(self.vectors) < VECTORS and seed < 4 * VECTORS:
            vector = Assignment({}, seed, self.usual)
            if all(evaluate(self.given, vector)):
                self.vectors.append(vector)
            seed += 1

    def _signature(self, term: Term) -> tuple[int, ...]:
        for part in postorder_until(term, self._values):
            known = [self._values[arg] for arg in part.args]
            self._values[part] = [step(part, [column[i] for column in known], v) for i, v in enumerate(self.vectors)]
        return (term.width, *self._values[term])

    def _representative(self, term: Term, classes: dict[tuple[int, ...], list[Term]]) -> Term:
        """An earlier term of the other side, or a truth, that is proved equal to this one; or the term itself."""
        while True:
            known = classes.setdefault(self._signature(term), [])
            if term in known:
                return term
            vector = None
            for other in self._candidates(term, known):
                if self.queries >= MAX_QUERIES:
                    break
                answer = self._equal(term, other)
                if answer is True:
                    self.merged += 1
                    return other
                if isinstance(answer, Assignment):
                    vector = answer
                    break
            if vector is None:
                known.append(term)
                return term
            self._add_vector(vector, classes)

    def _candidates(self, term: Term, known: list[Term]) -> list[Term]:
        side = self._sides[term]
        out = [other for other in known if self._sides[other] != side and other not in term.args][:3]
        if term.width == BOOL and len(set(self._values[term])) == 1 and self.vectors:
            out.insert(0, self.t.truth(bool(self._values[term][0])))
        return out

    def _equal(self, a: Term, b: Term) -> bool | Assignment | None:
        """True when proved; an input that tells them apart; None when the solver does not say."""
        t = self.t
        differ = t.negate(t.same(a, b))
        self.queries += 1
        for conditions in self._questions(differ):
            answer = satisfiable(conditions, _QUICK)
            if isinstance(answer, Unsatisfiable):
                return True
        return Assignment(dict(answer.values), None) if isinstance(answer, Satisfiable) else None

    def _questions(self, differ: Term) -> Iterator[list[Term]]:
        """The question with more and more of what lies below it; only the last one can be answered with an input."""
        conditions = [*self.given, differ]
        yield [*self.given, self._cut(differ, {}, lambda term: self._sides.get(term) == LEFT | RIGHT and term.width > 1)]
        yield [self._cut(condition, self._light, _is_heavy) for condition in conditions]
        yield conditions

    def _cut(self, root: Term, done: dict[Term, Term], is_cut: Callable[[Term], bool]) -> Term:
        """The term with the outermost subterms that `is_cut` picks replaced by free variables, one for each."""
        for term in postorder_until(root, done):
            if term.args and term is not root and is_cut(term):
                done[term] = self.t.app(f"cut#{term.ident}", term.width)
            else:
                done[term] = rebuild(self.t, term, [done[arg] for arg in term.args])
        return done[root]

    def _add_vector(self, vector: Assignment, classes: dict[tuple[int, ...], list[Term]]) -> None:
        """Another input that tells terms apart: every signature grows by one, classes split."""
        self.vectors.append(vector)
        members = [term for group in classes.values() for term in group]
        for term in postorder(*self._values):
            if term in self._values:
                args = [self._values[arg][-1] for arg in term.args]
                self._values[term].append(step(term, args, vector))
        classes.clear()
        for term in members:
            classes.setdefault((term.width, *self._values[term]), []).append(term)


def _is_heavy(term: Term) -> bool:
    return term.op in HEAVY and not (term.op == "mul" and term.args[0].is_const and _few_bits(term.args[0]))


def _few_bits(constant: Term) -> bool:
    """Multiplying by it is a few additions."""
    number = constant.number
    return min(number.bit_count(), (-number & ((1 << constant.width) - 1)).bit_count()) <= 3
