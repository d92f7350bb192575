"""The kinds of memory that a pointer may lead to, and which of them overlap.

    stack       the function's own stack
    ctx         the context
    packet      between data_meta and data_end
    map:NAME    the values of one map of the object
    data:NAME   one data section
    any         whatever else, which may be any of these but the stack: kernel memory, a caller's stack, values of inner maps

The verifier decides what a pointer may be; what is said here follows its rules: the sum of a pointer and a number is a pointer
of the same kind, the difference of two pointers is a number, other arithmetic gives numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bpfsmith.semantics.terms import Term, leading_zeros

STACK = "stack"
CLASSES = ("ctx", "packet", "map", "data", "any")
"""The kinds that have a version each."""

Kinds = frozenset[str]
NOTHING: Kinds = frozenset()
ANY: Kinds = frozenset({"any"})
STACK_OR_ANY: Kinds = frozenset({STACK, "any"})
_FROM_STACK = ("uninit", "out", "fresh", "phi", "fp", "kfunc")
_NUMBERS = ("mul", "udiv", "urem", "and", "or", "xor", "sext", "ite")


@dataclass(slots=True)
class MemoryKinds:
    """Answers for all terms of one analysis. `grown` counts how often a phi turned out to lead to more than was said before."""

    sources: dict[Term, set[Term]] = field(default_factory=dict)  # what a phi was made of
    grown: int = 0
    _phis: dict[Term, Kinds] = field(default_factory=dict)
    _known: dict[Term, Kinds] = field(default_factory=dict)

    def of(self, base: Term) -> Kinds:
        """The kinds of memory that a base may point into; a number alone points nowhere."""
        known = self._known.get(base)
        if known is None:
            known = self._known[base] = self._of(base)
        return known

    def add_sources(self, phi: Term, held: Iterable[Term]) -> None:
        """Notes what a phi is made of; counts it when that lets a phi lead to more kinds of memory than was said."""
        is_new = phi not in self.sources
        new = set(held) - self.sources.setdefault(phi, set())
        if not new:
            return
        self.sources[phi] |= new
        if not self._grow([phi]):
            return
        if not is_new:
            while self._grow(list(self._phis)):
                pass
            self.grown += 1

    def _grow(self, phis: list[Term]) -> bool:
        grown = False
        for phi in phis:
            before = self._phis.get(phi, NOTHING)
            now = before.union(*(self.of(source) for source in self.sources[phi]))
            if now != before:
                self._phis[phi], grown = now, True
                self._known.clear()
        return grown

    def may_overlap(self, a: Term, b: Term) -> bool:
        """Can two different bases lead to one byte?"""
        return any(_overlap(x, y) for x in self.of(a) or ANY for y in self.of(b) or ANY)

    def may_be_stack(self, address: Term | None) -> bool:
        """May this address lie in the function's own stack?"""
        return address is not None and STACK in self.of(address)

    def _of(self, base: Term) -> Kinds:
        match base.op:
            case "app":
                return self._of_input(base)
            case "add":
                return self._of_sum(base)
            case "const":
                return NOTHING
            case _ if leading_zeros(base) > 0 or base.op in _NUMBERS:
                return STACK_OR_ANY if base.op in ("ite", "or", "xor", "and") and _mentions_fp(base) else NOTHING
            case _:
                return self._of_loaded(base)

    def _of_sum(self, base: Term) -> Kinds:
        """Pointer and numbers. What may be anything is a number where another part is surely a pointer; two pointers of one
        kind with opposite signs are a number, their distance."""
        found = [self.of(arg) for arg in base.args]
        precise = Counter(kinds for kinds in found if kinds and "any" not in kinds)
        away = Counter(
            kinds for arg in base.args if arg.op == "mul" and (kinds := self.of(arg.args[-1])) and "any" not in kinds
        )
        if not away <= precise:
            return NOTHING.union(*found)
        surely = precise - away
        return NOTHING.union(*surely) if surely else NOTHING.union(*(kinds for kinds in found if "any" in kinds))

    def _of_input(self, base: Term) -> Kinds:
        name, _, rest = base.name.partition(":")
        match name:
            case "fp":
                return frozenset({STACK})
            case "ctx":
                return frozenset({"ctx"})
            case "packet":
                return frozenset({"packet"})
            case "data" | "lookup":
                return frozenset({f"{'data' if name == 'data' else 'map'}:{rest.split('#')[0]}"})
            case "phi":
                return self._phis.get(base, NOTHING)
            case "uninit" | "out" | "fresh" | "kfunc":
                return STACK_OR_ANY
            case _:
                return ANY

    def _of_loaded(self, base: Term) -> Kinds:
        """A pointer that was put together from bytes: from the stack's unknown bytes it may lead there."""
        parts = base.args if base.op == "concat" else (base.args[0],) if base.op == "extract" else (base,)
        for part in parts:
            inner = part.args[0] if part.op == "extract" else part
            if inner.op != "app" or inner.name.partition(":")[0] in _FROM_STACK:
                return STACK_OR_ANY
            if inner.name == "m" and STACK in self.of(inner.args[0]):
                return STACK_OR_ANY  # one of several places on the stack, where a pointer into it may have been kept
        return ANY


def read_classes(kinds: Kinds) -> tuple[str, ...]:
    """The versions that memory of these kinds depends on. "any" changes with every store."""
    found = {kind.partition(":")[0] for kind in kinds} - {STACK}
    return ("any",) if "any" in found or not found else tuple(sorted(found))


def written_classes(kinds: Kinds) -> tuple[str, ...]:
    """The versions that a store to memory of these kinds changes."""
    found = {kind.partition(":")[0] for kind in kinds} - {STACK}
    return CLASSES if "any" in found or not found else tuple(sorted(found | {"any"}))


def _mentions_fp(term: Term) -> bool:
    return any(arg.op == "app" and arg.name == "fp" for arg in (term, *term.args))


def _overlap(a: str, b: str) -> bool:
    if a == b:
        return True
    return STACK not in (a, b) and "any" in (a, b)
