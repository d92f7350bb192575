"""Preprocessed C, and which line of which file each of its characters came from (the `# 12 "server.c"` line markers)."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from bpfsmith.source import Span

_MARKER = re.compile(r'^# (\d+) "((?:[^"\\]|\\.)*)"(?: [\d ]*)?$')


@dataclass(frozen=True)
class Preprocessed:
    """One source file after the preprocessor, decoded as Latin-1 so that character and byte offsets are the same."""

    path: str
    text: str

    @cached_property
    def _lines(self) -> tuple[list[int], list[tuple[str, int] | None]]:
        """Where each line starts, and the file and line it came from (None: a marker)."""
        starts, origins = [], []
        path, number, at = self.path, 1, 0
        origin: tuple[str, int] | None
        for line in self.text.split("\n"):
            marker = _MARKER.match(line)
            if marker:
                path, number = marker[2].replace('\\"', '"').replace("\\\\", "\\"), int(marker[1])
                origin = None
            else:
                origin = path, number
                number += 1
            starts.append(at)
            origins.append(origin)
            at += len(line) + 1
        return starts, origins

    def span(self, offset: int) -> Span:
        """The place in the user's files of the character at `offset`. The column is that of the preprocessed text."""
        starts, origins = self._lines
        index = bisect_right(starts, offset) - 1
        path, number = origins[index] or (self.path, 1)
        return Span(path, number, offset - starts[index] + 1)

    def is_users(self, offset: int) -> bool:
        """Does the character come from the file itself or a header beside it, rather than from a system header?"""
        path = self.span(offset).path
        return path == self.path or not (path.startswith(("/", "<")) or "/ziglang/" in path)


def without_markers(text: str) -> str:
    """The text with line markers and the empty lines after them left out."""
    return "\n".join(line for line in text.split("\n") if not _MARKER.match(line))
