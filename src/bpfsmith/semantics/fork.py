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
    apart = [part for part in sorted(left - right, key=_ident) if decides(t, right, part) is False]
    apart += [t.negate(part) for part in sorted(right - left, key=_ident) if decides(t, left, part) is False]
    if apart:
        return Fork(t, left, right, min(apart, key=age))
    common = left & right
    # The paths exclude each other, so either side's extra conditions tell them apart: take the shorter description.
    return Fork(t, left, right, t.negate(t.all_of(*(right - common))) if len(right) < len(left) else t.all_of(*(left - common)))


def age(condition: Term) -> int:
    """The older of two conditions has the smaller number."""
    return condition.args[0].ident if condition.op == "not" else condition.ident


def decides(t: Terms, path: Path, condition: Term, besides: Term | None = None) -> bool | None:
    """Does the condition hold wherever the path does, or nowhere there? None: that is not plain. What the path says `besides`
    one of its disjunctions is all that counts, where one is named."""
    known: _Known | None = t.paths.get(path)
    if known is None:
        known = t.paths[path] = _Known.of(t, path)
    return known.decides(condition, DEPTH, besides)


def subject(t: Terms, condition: Term) -> Term:
    """What a condition is about: two of which one can decide the other have the same."""
    return _question(t, condition).subject


def mentioned(t: Terms, condition: Term) -> frozenset[Term]:
    """The subjects of all plain conditions in one."""
    found: frozenset[Term] | None = t.mentioned.get(condition)
    if found is None:
        if condition.op in ("conj", "disj"):
            found = frozenset().union(*(mentioned(t, part) for part in condition.args))
        else:
            found = frozenset({subject(t, condition)})
        t.mentioned[condition] = found
    return found


class _Question(NamedTuple):
    """A condition, made ready to be looked up in what is known."""

    opposite: Term
    subject: Term
    number: Term | None  # `number == constant` is asked, or the opposite of that
    constant: Term | None
    equal: bool


def _question(t: Terms, condition: Term) -> _Question:
    found: _Question | None = t.questions.get(condition)
    if found is None:
        opposite = t.negate(condition)
        test, equal = (condition.args[0], False) if condition.op == "not" else (condition, True)
        if test.op == "eq" and test.args[1].is_const:
            number, constant = test.args
            found = _Question(opposite, number, number, constant, equal)
        else:
            found = _Question(opposite, min(condition, opposite, key=_ident), None, None, equal)
        t.questions[condition] = found
    return found


def _ident(term: Term) -> int:
    return term.ident


class _Way(NamedTuple):
    """One of the ways of a disjunction: what holds there."""

    literals: frozenset[Term]
    constants: dict[Term, Term]  # the numbers that are said to be a constant

    @classmethod
    def of(cls, literals: frozenset[Term]) -> _Way:
        return cls(literals, {item.args[0]: item.args[1] for item in literals if item.op == "eq" and item.args[1].is_const})

    def says(self, condition: Term, question: _Question) -> bool | None:
        if condition in self.literals:
            return True
        if question.opposite in self.literals:
            return False
        if question.number is not None:
            value = self.constants.get(question.number)
            return None if value is None else (value is question.constant) is question.equal
        return None


class _Choice(NamedTuple):
    """A disjunction: one of its ways holds."""

    whole: Term
    ways: tuple[_Way, ...]  # short ones first: they leave more open
    subjects: frozenset[Term]  # what the shortest way is about: the others cannot agree with it on anything else


def _choice(t: Terms, disjunction: Term) -> _Choice:
    found: _Choice | None = t.choices.get(disjunction)
    if found is None:
        ways = sorted((frozenset(way.args if way.op == "conj" else (way,)) for way in disjunction.args), key=len)
        subjects = frozenset(subject(t, item) for item in sorted(ways[0], key=_ident))
        found = t.choices[disjunction] = _Choice(disjunction, tuple(map(_Way.of, ways)), subjects)
    return found


_Asked = tuple[Term, int, Term | None]


@dataclass(frozen=True, slots=True)
class _Known:
    """What a path says, made ready to be asked about many conditions."""

    t: Terms
    here: _Way
    choices: dict[Term, list[_Choice]]  # the disjunctions on the path, by what they may decide
    memo: dict[_Asked, bool | None] = field(default_factory=dict)

    @classmethod
    def of(cls, t: Terms, path: Path) -> _Known:
        choices: dict[Term, list[_Choice]] = {}
        for disjunction in sorted((item for item in path if item.op == "disj"), key=_ident):
            choice = _choice(t, disjunction)
            for each in choice.subjects:
                choices.setdefault(each, []).append(choice)
        return cls(t, _Way.of(path), choices)

    def decides(self, condition: Term, depth: int, besides: Term | None) -> bool | None:
        if condition.op == "truth":
            return bool(condition.number)
        key = condition, depth, besides
        if key not in self.memo:
            self.memo[key] = self._decides(condition, depth, besides)
        return self.memo[key]

    def _decides(self, condition: Term, depth: int, besides: Term | None) -> bool | None:
        said = self._here(condition, besides)
        if said is not None or not depth:
            return said
        if condition.op == "not":
            found = self.decides(condition.args[0], depth, besides)
            return None if found is None else not found
        if condition.op in ("conj", "disj"):
            found = _together(condition.op, [self.decides(part, depth - 1, besides) for part in condition.args])
            if found is not None:
                return found
        for choice in self._about(condition):
            if choice.whole is not besides:
                found = self._on_all(choice.ways, condition, besides)
                if found is not None:
                    return found
        return None

    def _about(self, condition: Term) -> Iterable[_Choice]:
        """The disjunctions that may decide a condition, old ones first."""
        own = self.choices.get(subject(self.t, condition), [])
        if condition.op not in ("conj", "disj"):
            return own
        found = {choice.whole: choice for choice in own}
        for part in condition.args:
            for choice in self.choices.get(subject(self.t, part), ()):
                found[choice.whole] = choice
        return [found[whole] for whole in sorted(found, key=_ident)]

    def _on_all(self, ways: tuple[_Way, ...], condition: Term, besides: Term | None) -> bool | None:
        """What every way of a disjunction says."""
        agreed: bool | None = None
        for way in ways:
            found = self._on_way(way, condition, besides)
            if found is None or (agreed is not None and found is not agreed):
                return None
            agreed = found
        return agreed

    def _on_way(self, way: _Way, condition: Term, besides: Term | None) -> bool | None:
        """The same on one way of a disjunction, as far as its own words go."""
        if condition.op in ("conj", "disj"):
            parts = (self._said(way, part) for part in condition.args)
            said = [
                self._here(part, besides) if found is None else found for part, found in zip(condition.args, parts, strict=True)
            ]
            return _together(condition.op, said)
        return self._said(way, condition)

    def _here(self, condition: Term, besides: Term | None) -> bool | None:
        """What the path's own words say, without those of one disjunction."""
        if besides is not None and (condition is besides or self.t.negate(condition) is besides):
            return None
        return self._said(self.here, condition)

    def _said(self, way: _Way, condition: Term) -> bool | None:
        if condition.op == "truth":
            return bool(condition.number)
        return way.says(condition, _question(self.t, condition))


def _together(op: str, parts: list[bool | None]) -> bool | None:
    """What a conjunction or disjunction is, of whose parts some may not be known."""
    decisive = op == "disj"
    if decisive in parts:
        return decisive
    return None if None in parts else not decisive
