"""Where two paths meet: which condition tells them apart, and what their values become.

Compilers order and join branches differently. A value that is chosen by the first branch that parts two paths, and not by all
that happened on them, looks the same for both orders; often enough no choice is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfsmith.semantics.terms import Term, Terms, rebuild

Path = frozenset[Term]
"""Conditions that hold, all of them."""

DEPTH = 4
VALUE_DEPTH = 40
"""Choices further inside a number than this are left as they are: long sums are deeper than Python's stack."""
_THROUGH = {"add", "and", "concat", "extract", "or", "sext", "xor"}
"""What does little to a number: choices are looked for behind it."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Two paths that exclude each other; `condition` holds on the left one and does not on the right one."""

    t: Terms
    left: Path
    right: Path
    condition: Term
    _left: dict[Term, Term] = field(default_factory=dict)
    _right: dict[Term, Term] = field(default_factory=dict)

    def ite(self, width: int, then: Term, other: Term) -> Term:
        """A value that is `then` on the left path and `other` on the right one."""
        if then is other:
            return then
        if self._on(self.right, self._right, then) is self._on(self.right, self._right, other):
            return then
        if self._on(self.left, self._left, then) is self._on(self.left, self._left, other):
            return other
        return self.t.ite(width, self.condition, then, other)

    def _on(self, path: Path, memo: dict[Term, Term], value: Term, depth: int = VALUE_DEPTH) -> Term:
        """A number with its choices made, as far as a path decides them."""
        known = memo.get(value)
        if known is not None:
            return known
        if not depth:
            return value
        found = value
        if value.op == "ite":
            condition, then, other = value.args
            match decides(self.t, path, condition):
                case None:
                    then, other = (self._on(path, memo, way, depth - 1) for way in (then, other))
                    found = self.t.ite(value.width, condition, then, other)
                case holds:
                    found = self._on(path, memo, then if holds else other, depth - 1)
        elif value.op in _THROUGH:
            found = rebuild(self.t, value, [self._on(path, memo, part, depth - 1) for part in value.args])
        memo[value] = found
        return found


def branch(t: Terms, condition: Term) -> Fork:
    """The two ways of one condition."""
    return Fork(t, frozenset({condition}), frozenset({t.negate(condition)}), condition)


def fork(t: Terms, left: Path, right: Path) -> Fork:
    """The oldest condition that the paths disagree on tells them apart, else all that only one of them knows."""
    apart = [part for part in left - right if decides(t, right, part) is False]
    apart += [t.negate(part) for part in right - left if decides(t, left, part) is False]
    if apart:
        return Fork(t, left, right, min(apart, key=_age))
    common = left & right
    # The paths exclude each other, so either side's extra conditions tell them apart: take the shorter description.
    return Fork(t, left, right, t.negate(t.all_of(*(right - common))) if len(right) < len(left) else t.all_of(*(left - common)))


def _age(condition: Term) -> int:
    return condition.args[0].ident if condition.op == "not" else condition.ident


def decides(t: Terms, path: Path, condition: Term, depth: int = DEPTH) -> bool | None:
    """Does the condition hold wherever the path does, or nowhere there? None: that is not plain."""
    if condition.op == "truth":
        return bool(condition.number)
    if condition in path:
        return True
    if t.negate(condition) in path:
        return False
    if not depth:
        return None
    match condition.op:
        case "not":
            found = decides(t, path, condition.args[0], depth)
            return None if found is None else not found
        case "conj" | "disj":
            parts = {decides(t, path, part, depth - 1) for part in condition.args}
            decisive = condition.op == "disj"
            if decisive in parts:
                return decisive
            if parts == {not decisive}:
                return not decisive
        case "eq" if condition.args[1].is_const:
            number, value = condition.args
            for known in path:
                if known.op == "eq" and known.args[0] is number and known.args[1].is_const:
                    return known.args[1] is value
    about = _about(t, condition)
    for known in path:
        if known.op == "disj" and not about.isdisjoint(_about(t, known)):
            said = _on_every_way(t, path, known, condition, min(depth - 1, 1))
            if said is not None:
                return said
    return None


def _on_every_way(t: Terms, path: Path, known: Term, condition: Term, depth: int) -> bool | None:
    """What every way of a disjunction that the path knows says of the condition, where they agree."""
    rest = path - {known}
    agreed: bool | None = None
    for way in known.args:
        said = decides(t, rest.union(way.args if way.op == "conj" else (way,)), condition, depth)
        if said is None or (agreed is not None and said is not agreed):
            return None
        agreed = said
    return agreed


def _about(t: Terms, condition: Term) -> frozenset[int]:
    """The comparisons that a condition is made of, and for an equation with a constant the number. A disjunction about
    others decides nothing here, whichever way it goes."""
    known = t.about.get(condition)
    if known is not None:
        return known
    if condition.op in ("not", "conj", "disj"):
        found = frozenset().union(*(_about(t, part) for part in condition.args))
    elif condition.op == "eq" and condition.args[1].is_const:
        found = frozenset({condition.args[0].ident})
    else:
        found = frozenset({condition.ident})
    t.about[condition] = found
    return found
