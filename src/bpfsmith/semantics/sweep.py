"""Cutpoints: proves inner terms equal from the leaves up, so that the outermost question becomes small.

Two programs that compute the same thing share more than their results. Terms that agree on all random inputs so far are taken
as candidates; the solver proves them equal (or gives an input that tells them apart, which joins the random ones), and what is
proved is replaced everywhere above. What both sides share below a question, then its multiplications and divisions, are first
cut off and replaced by free variables: that proves most equalities without looking into them, and what it proves holds for
every value of what was cut off.
(SAT sweeping, Kuehlmann and Krohm, DAC 1997, on words instead of gates.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bpfsmith.semantics.context import contextual
from bpfsmith.semantics.cut import cut, is_heavy
from bpfsmith.semantics.solver import QUICK, Satisfiable, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import BOOL, Term, Terms, postorder, rebuild
from bpfsmith.semantics.vectors import Vectors
from bpfsmith.semantics.witness import Assignment

MAX_QUERIES = 400


LEFT, RIGHT = 1, 2


@dataclass(slots=True)
class Sweep:
    """Merges provably equal subterms of pairs of roots, left sides with right sides, under the conditions `given`."""

    t: Terms
    given: list[Term]
    usual: dict[tuple[str, tuple[int, ...]], int]
    queries: int = 0
    merged: int = 0
    _sides: dict[Term, int] = field(default_factory=dict)
    _light: dict[Term, Term] = field(default_factory=dict)
    vectors: Vectors = field(init=False)

    def __post_init__(self) -> None:
        self.vectors = Vectors.random(self.given, self.usual)

    def run(self, pairs: list[tuple[Term, Term]]) -> list[tuple[Term, Term]]:
        """The pairs with equal subterms made identical; each term is equal to what went in wherever `given` holds."""
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

    def _representative(self, term: Term, classes: dict[tuple[int, ...], list[Term]]) -> Term:
        """An earlier term of the other side, or a truth, that is proved equal to this one; or the term itself."""
        while True:
            known = classes.setdefault(self.vectors.signature(term), [])
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
        if term.width == BOOL and len(set(values := self.vectors.values(term))) == 1:
            out.insert(0, self.t.truth(bool(values[0])))
        return out

    def _equal(self, a: Term, b: Term) -> bool | Assignment | None:
        """True when proved; an input that tells them apart; None when the solver does not say."""
        t = self.t
        differ = t.negate(t.same(a, b))
        self.queries += 1
        for conditions in self._questions(differ):
            answer = satisfiable(conditions, QUICK)
            if isinstance(answer, Unsatisfiable):
                return True
        return Assignment(dict(answer.values), None) if isinstance(answer, Satisfiable) else None

    def _questions(self, differ: Term) -> Iterator[list[Term]]:
        """The question with more and more of what lies below it; only the last one can be answered with an input."""
        conditions = [*self.given, differ]
        yield [*self.given, cut(self.t, differ, {}, lambda term: self._sides.get(term) == LEFT | RIGHT and term.width > 1)]
        yield [cut(self.t, condition, self._light, is_heavy) for condition in conditions]
        yield conditions

    def _add_vector(self, vector: Assignment, classes: dict[tuple[int, ...], list[Term]]) -> None:
        """Another input that tells terms apart: classes split."""
        self.vectors.add(vector)
        members = [term for group in classes.values() for term in group]
        classes.clear()
        for term in members:
            classes.setdefault(self.vectors.signature(term), []).append(term)
