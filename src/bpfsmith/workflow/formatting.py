"""`fmt`: a program before and after."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass

from bpfsmith.appnet.format import formatted
from bpfsmith.appnet.parse import decode, read_source


@dataclass(frozen=True, slots=True)
class Layout:
    """A program as it stands in its file and as it would be laid out."""

    path: str
    before: str
    after: str


def layout(path: str) -> Layout:
    """The file at `path`, or stdin for `-`. Raises InputError for what is no AppNet program."""
    source = decode("<stdin>", sys.stdin.buffer.read()) if path == "-" else read_source(path)
    return Layout(path, source.text, formatted(source))


def difference(done: Layout) -> str:
    """What would change, as a unified diff."""
    before, after = (text.splitlines(keepends=True) for text in (done.before, done.after))
    return "".join(difflib.unified_diff(before, after, done.path, done.path))
