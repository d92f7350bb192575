"""Where a piece of text came from: files and spans, the ground every diagnostic stands on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A range of characters in a named file.

    Lines and columns count from 1; ``end_column`` is one past the last character, so an empty span has
    ``(line, column) == (end_line, end_column)``. Columns count characters, not bytes and not tab stops.
    """

    path: str
    line: int
    column: int = 1
    end_line: int = 0
    end_column: int = 0

    def __post_init__(self) -> None:
        if self.end_line == 0:
            object.__setattr__(self, "end_line", self.line)
            object.__setattr__(self, "end_column", self.end_column or self.column)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.path, self.line, self.column, other.end_line, other.end_column)


@dataclass(frozen=True, slots=True)
class SourceText:
    """The text of one file as the user sees it, for excerpts under a diagnostic."""

    path: str
    text: str

    def line(self, number: int) -> str | None:
        """Line `number` (from 1) without its newline, or None when the file is shorter."""
        lines = self.text.split("\n")
        return lines[number - 1].rstrip("\r") if 1 <= number <= len(lines) else None
