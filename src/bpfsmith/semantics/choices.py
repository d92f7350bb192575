"""Numbers that are one of a few constants, by conditions: lengths of headers, offsets behind them.

Compilers ask for the same conditions in another order, and add to an offset before or after a join. What is said here is the
same for all of that: the oldest condition that is still open chooses first, and what the path decides, or what makes no
difference on it, is not asked (an ordered decision diagram whose leaves are constants; Bryant, IEEE ToC 1986).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from bpfsmith.semantics.fork import Path, age, decides, mentioned
from bpfsmith.semantics.terms import BOOL, Term, Terms, postorder_until, rebuild

MOST_STEPS = 8
"""Conditions that may be asked for one number; beyond it the number stays as it is."""

MOST_OPEN = 40
"""Conditions that a number may speak of at all."""

Open = frozenset[Term]

_OPEN: WeakKeyDictionary[Terms, dict[Term, Open | None]] = WeakKeyDictionary()


def ordered(t: Terms, path: Path, number: Term) -> Term:
    """An equal number on this path: the oldest open condition first, if it is a choice of constants; else as it is."""
    if number.is_const or not _conditions(t, number):
        return number
    diagram = _Diagram(t)
    found = diagram.of(path, number)
    return number if found is None else found


def _conditions(t: Terms, term: Term) -> Open | None:
    """The plain conditions by which a term is one of some constants; None where it depends on anything else."""
    known = _OPEN.setdefault(t, {})
    for part in postorder_until(term, known):
        known[part] = _combined(part, [known[arg] for arg in part.args])
    return known[term]


def _combined(term: Term, parts: list[Open | None]) -> Open | None:
    if not term.args:
        return (frozenset({term}) if term.width == BOOL and term.op == "app" else None) if term.op == "app" else frozenset()
    if term.width == BOOL and term.op not in ("conj", "disj", "not") and (term.op == "app" or None in parts):
        return frozenset({term})
    if term.op == "app":
        return None
    out: set[Term] = set()
    for part in parts:
        if part is None:
            return None
        out |= part
    return frozenset(out) if len(out) <= MOST_OPEN else None


@dataclass(slots=True)
class _Diagram:
    t: Terms
    steps: int = 0
    known: dict[tuple[Path, Term], Term | None] = field(default_factory=dict)

    def of(self, path: Path, number: Term) -> Term | None:
        """None: too many steps."""
        number = on_path(self.t, path, number)
        if number.is_const:
            return number
        key = path, number
        if key not in self.known:
            self.steps += 1
            self.known[key] = self._split(path, number) if self.steps <= MOST_STEPS else None
        return self.known[key]

    def _split(self, path: Path, number: Term) -> Term | None:
        conditions = _conditions(self.t, number)
        if not conditions:
            return number if conditions is not None else None
        oldest = min(conditions, key=age)
        ways = []
        for literal in (oldest, self.t.negate(oldest)):
            longer = with_literal(self.t, path, literal)
            if longer is not None:
                ways.append(self.of(longer, number))
        if not ways or None in ways:
            return None
        then, other = ways[0], ways[-1]
        assert then is not None
        assert other is not None
        return self.t.ite(number.width, oldest, then, other)


def on_path(t: Terms, path: Path, term: Term) -> Term:
    """An equal term on this path, without the conditions that the path decides."""
    done = dict[Term, Term]()
    for part in postorder_until(term, done):
        if part.width == BOOL:
            found = decides(t, path, part)
            if found is not None:
                done[part] = t.truth(found)
                continue
        done[part] = rebuild(t, part, [done[arg] for arg in part.args])
    return done[term]


def with_literal(t: Terms, path: Path, literal: Term) -> Path | None:
    """The path where one more condition holds, of its disjunctions only the ways that are left; None where none is."""
    found = decides(t, path, literal)
    if found is not None:
        return path if found else None
    longer, news = path | {literal}, mentioned(t, literal)
    while True:
        changed = longer
        for disjunction in sorted((item for item in longer if item.op == "disj"), key=age):
            if mentioned(t, disjunction).isdisjoint(news):
                continue
            left = []
            for way in disjunction.args:
                parts = way.args if way.op == "conj" else (way,)
                said = [decides(t, longer, part, besides=disjunction) for part in parts]
                if False not in said:
                    left.append(t.all_of(*(part for part, holds in zip(parts, said, strict=True) if holds is None)))
            if not left:
                return None
            rest = t.any_of(*left)
            if rest is not disjunction:
                parts = rest.args if rest.op == "conj" else (rest,) if rest is not t.true else ()
                if rest is t.false or any(decides(t, longer, part, besides=disjunction) is False for part in parts):
                    return None
                changed = (longer - {disjunction}).union(parts)
                news = news.union(*(mentioned(t, part) for part in parts))
                break
        if changed == longer:
            return longer
        longer = changed
