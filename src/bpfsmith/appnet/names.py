"""C names for the names of a program: the same ones, unless they mean something in the generated C already."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bpfsmith.appnet import core, facts

_WORDS = frozenset(
    (
        "auto break case char const continue default do double else enum extern float for goto if inline int long register "
        "restrict return short signed sizeof static struct switch typedef typeof union unsigned void volatile while asm "
        "ctx verdict out state_lock main license xdp tc syscall memcpy memmove memset memcmp"
    ).split()
)
"""Words of C, what the generator calls things itself, sections of the object, and functions that clang knows."""

_HEADERS = re.compile(r"[A-Z][A-Z0-9_]*|__.*|_[A-Z].*|(bpf|fx)_.*|(min|max|div|rem)_[su](32|64)")
"""What the headers define: macros and enumerators in capitals, the kernel's types, helpers, functions of ours."""


def reserved(name: str) -> bool:
    """Does the name mean something in the generated C?"""
    return name in _WORDS or _HEADERS.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Naming:
    """Gives C names; no two of the names in `taken` get the same one."""

    taken: frozenset[str]

    def __call__(self, name: str) -> str:
        """`name`, or `name_` for a word of C, or `v_name` for a name of the headers, until it is free."""
        if not reserved(name):
            return name
        lead, tail = ("v_", "") if _HEADERS.fullmatch(name) else ("", "_")
        while reserved(name) or name in self.taken:
            name = f"{lead}{name}{tail}"
        return name

    def fresh(self, stem: str, number: int | str = "") -> str:
        """A name that nothing in `taken` has."""
        name = f"{stem}{number}"
        while name in self.taken:
            name = f"_{name}"
        return name


def naming(element: core.Element) -> Naming:
    """The names of an element: its state and its locals."""
    return Naming(frozenset(_names(element)))


def _names(element: core.Element) -> Iterable[str]:
    yield from (item.name for item in element.state)
    for statement in facts.statements((*element.req, *element.resp, *element.init)):
        if isinstance(statement, core.SetLocal):
            yield statement.name
        if isinstance(statement, core.Match):
            yield from (arm.pattern.name for arm in statement.arms if isinstance(arm.pattern, core.Some))
