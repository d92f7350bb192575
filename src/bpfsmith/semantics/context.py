"""Simplifies a term by what is known where it stands: under `c`, an arm of ite(c, ..) need not ask for c again.

Branches that compilers merge and split again leave such questions behind; without them two sides often become the same term.
"""

from __future__ import annotations

from bpfsmith.semantics.cut import of_variables
from bpfsmith.semantics.terms import Term, Terms, postorder, postorder_until, rebuild

WORK_LIMIT = 60_000
"""Subterms visited in one pass; beyond it the rest is left as it is."""

PASSES = 4


def contextual(t: Terms, roots: list[Term]) -> list[Term]:
    """The roots, each equal to what it was. Rewriting may join conditions, so it is done again while that changes something."""
    for _ in range(PASSES):
        before, roots = roots, _Context(t).run(roots)
        if all(new is old for new, old in zip(roots, before, strict=True)):
            break
    return roots


class _Context:
    def __init__(self, t: Terms) -> None:
        self.t = t
        self.work = 0

    def run(self, roots: list[Term]) -> list[Term]:
        done: dict[Term, Term] = {}
        for term in postorder(*roots):
            new = rebuild(self.t, term, [done[arg] for arg in term.args])
            done[term] = self._simplify(new)
        return [done[root] for root in roots]

    def _simplify(self, term: Term) -> Term:
        t = self.t
        if term.op == "ite":
            condition, then, other = term.args
            return t.ite(term.width, condition, self._assume(then, condition, True), self._assume(other, condition, False))
        if term.op in ("conj", "disj") and len(term.args) <= 4:
            parts = list(term.args)
            for at in range(len(parts)):
                for other_at, part in enumerate(parts):
                    if other_at != at:
                        parts[at] = self._assume(parts[at], part, term.op == "conj")
            return t.all_of(*parts) if term.op == "conj" else t.any_of(*parts)
        return term

    def _assume(self, term: Term, condition: Term, holds: bool) -> Term:
        """`term` where `condition` is known to be `holds`."""
        if self.work > WORK_LIMIT or not term.args or condition.op == "truth":
            return term
        known = self._literals(condition, holds)
        done = dict(known)
        for part in postorder_until(term, done):
            self.work += 1
            # A quotient that knew more in one arm than in the other would be two, which is dearer than knowing less.
            done[part] = part if of_variables(part) else rebuild(self.t, part, [done[arg] for arg in part.args])
        return done[term]

    def _literals(self, condition: Term, holds: bool) -> dict[Term, Term]:
        """What follows from the condition: itself, its parts, and simple consequences for the number it speaks of."""
        t = self.t
        out = {condition: t.truth(holds), t.negate(condition): t.truth(not holds)}
        if condition.op == ("conj" if holds else "disj"):
            for part in condition.args:
                out |= self._literals(part, holds)
        if condition.op == "not":
            out |= self._literals(condition.args[0], not holds)
        if condition.op in ("slt", "ult") and condition.args[1].is_const:
            number, bound = condition.args
            width = number.width
            positive = 0 < bound.number < 1 << (width - 1)
            if not holds and (positive or (condition.op == "ult" and bound.number)):
                out |= self._known(t.eq(width, number, t.const(width, 0)), False)
            if not holds and positive and condition.op == "slt":
                out |= self._known(t.slt(width, number, t.const(width, 0)), False)
            if holds and condition.op == "slt" and not positive:
                out |= self._known(t.slt(width, number, t.const(width, 0)), True)
        if condition.op == "eq" and holds and condition.args[1].is_const:
            out[condition.args[0]] = condition.args[1]
        return out

    def _known(self, condition: Term, holds: bool) -> dict[Term, Term]:
        if condition.op == "truth":
            return {}
        return {condition: self.t.truth(holds), self.t.negate(condition): self.t.truth(not holds)}
