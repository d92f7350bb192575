"""Where two paths meet: which condition tells them apart, and what their values become.

Compilers order and join branches differently. A value that is chosen by the first branch that parts two paths, and not by all
that happened on them, looks the same for both orders; often enough no choice is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from bpfsmith.semantics.terms import Term, Terms, rebuild

Path = frozenset[Term]
"""Conditions that hold, all of them."""

DEPTH = 4
"""How far conditions are taken apart."""

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
        return Fork(t, left, right, min(apart, key=age))
    common = left & right
    # The paths exclude each other, so either side's extra conditions tell them apart: take the shorter description.
    return Fork(t, left, right, t.negate(t.all_of(*(right - common))) if len(right) < len(left) else t.all_of(*(left - common)))


def age(condition: Term) -> int:
    """The older of two conditions has the smaller number."""
    return condition.args[0].ident if condition.op == "not" else condition.ident


def decides(t: Terms, path: Path, condition: Term) -> bool | None:
    """Does the condition hold wherever the path does, or nowhere there? None: that is not plain."""
    known: _Known | None = t.paths.get(path)
    if known is None:
        known = t.paths[path] = _Known.of(t, path)
    return known.decides(condition, DEPTH)


def _equalities(literals: Iterable[Term]) -> dict[Term, Term]:
    """The numbers that are said to be a constant."""
    return {item.args[0]: item.args[1] for item in literals if item.op == "eq" and item.args[1].is_const}


class _Way(NamedTuple):
    """One of the ways of a disjunction: what holds there."""

    literals: frozenset[Term]
    constants: dict[Term, Term]


@dataclass(frozen=True, slots=True)
class _Known:
    """What a path says, made ready to be asked about many conditions."""

    t: Terms
    here: _Way
    choices: tuple[tuple[_Way, ...], ...]  # for each disjunction on the path its ways
    memo: dict[tuple[Term, int], bool | None] = field(default_factory=dict)

    @classmethod
    def of(cls, t: Terms, path: Path) -> _Known:
        disjunctions = sorted((item for item in path if item.op == "disj"), key=age)
        ways = (
            tuple(frozenset(way.args if way.op == "conj" else (way,)) for way in disjunction.args)
            for disjunction in disjunctions
        )
        choices = tuple(tuple(_Way(way, _equalities(way)) for way in each) for each in ways)
        return cls(t, _Way(path, _equalities(path)), choices)

    def decides(self, condition: Term, depth: int) -> bool | None:
        if condition.op == "truth":
            return bool(condition.number)
        key = condition, depth
        if key not in self.memo:
            self.memo[key] = self._decides(condition, depth)
        return self.memo[key]

    def _decides(self, condition: Term, depth: int) -> bool | None:
        said = self._said(self.here, condition)
        if said is not None or not depth:
            return said
        if condition.op == "not":
            found = self.decides(condition.args[0], depth)
            return None if found is None else not found
        if condition.op in ("conj", "disj"):
            found = _together(condition.op, [self.decides(part, depth - 1) for part in condition.args])
            if found is not None:
                return found
        here = None  # what the path itself says of the condition's parts: the same on every way
        if condition.op in ("conj", "disj"):
            here = [self._said(self.here, part) for part in condition.args]
        for ways in self.choices:
            found = self._on_all(ways, condition, here)
            if found is not None:
                return found
        return None

    def _on_all(self, ways: tuple[_Way, ...], condition: Term, here: list[bool | None] | None) -> bool | None:
        """What all ways of a disjunction say; asked no further than they agree."""
        agreed: bool | None = None
        for way in ways:
            said = self._said(way, condition) if here is None else self._on_way(way, condition, here)
            if said is None or (agreed is not None and said is not agreed):
                return None
            agreed = said
        return agreed

    def _on_way(self, way: _Way, condition: Term, here: list[bool | None]) -> bool | None:
        """The same on one way of a disjunction, as far as its own words go."""
        decisive, unknown = condition.op == "disj", False
        for part, known in zip(condition.args, here, strict=True):
            found = self._said(way, part)
            found = known if found is None else found
            if found is decisive:
                return decisive
            unknown |= found is None
        return None if unknown else not decisive

    def _said(self, way: _Way, condition: Term) -> bool | None:
        if condition.op == "truth":
            return bool(condition.number)
        if condition in way.literals:
            return True
        if self.t.negate(condition) in way.literals:
            return False
        test, holds = (condition.args[0], False) if condition.op == "not" else (condition, True)
        if test.op == "eq" and test.args[1].is_const:
            value = way.constants.get(test.args[0])
            return None if value is None else (value is test.args[1]) is holds
        return None


def _together(op: str, parts: list[bool | None]) -> bool | None:
    """What a conjunction or disjunction is, of whose parts some may not be known."""
    decisive = op == "disj"
    if decisive in parts:
        return decisive
    return None if None in parts else not decisive
