"""A change to a C file: lines put in, lines replaced. Applied to a copy, shown as a unified diff."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """Puts `text` before line `line` (from 1), in the place of the `removed` lines that stand there."""

    line: int
    text: tuple[str, ...]
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Patch:
    """What it does in a few words, and how."""

    title: str
    edits: tuple[Edit, ...]
    cpu: str | None = None
    """Another -mcpu to compile with, where that is the change."""
    usual: bool = False
    """It is what people write, also where it refuses a little more than it must: packets that end inside of a header."""

    def apply(self, text: str) -> str:
        """The text with all edits made, the last line first; what is put in at a line stands before what replaces it."""
        lines = text.split("\n")
        for edit in sorted(self.edits, key=lambda item: (-item.line, not item.removed)):
            lines[edit.line - 1 : edit.line - 1 + edit.removed] = edit.text
        return "\n".join(lines)


def unified(before: str, after: str, path: str) -> str:
    """The difference as `patch` takes it."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def substituted(lines: Sequence[str], number: int, old: str, new: str) -> Edit | None:
    """Line `number` with the first occurrence of a text replaced; None where it does not stand there."""
    line = lines[number - 1]
    return Edit(number, (line.replace(old, new, 1),), 1) if old in line else None
