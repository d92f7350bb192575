"""Diagnostics as plain text: the user's own line first, then facts, then what to do."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, Label
from bpfsmith.source import SourceText

TAB_COLUMNS = 4
WIDEST_LINE = 160
"""Columns of an excerpt; a longer line is cut around what the carets point at."""


def diagnostic_text(diagnostic: Diagnostic) -> str:
    """One diagnostic as lines of text without colour and without a final newline.

    The excerpt comes from `diagnostic.source`, or else from the file that a label names; without either, only the place is
    shown. Tabs are expanded, so that carets stand under what they mean.
    """
    lines = [f"{diagnostic.severity}[{diagnostic.id}]: {visible(diagnostic.message)}"]
    labels = [*([diagnostic.primary] if diagnostic.primary else []), *diagnostic.others]
    width = len(str(max((label.span.line for label in labels), default=0)))
    seen: list[str] = []
    for label in labels:
        if label.span.path not in seen:
            seen.append(label.span.path)
    for path in seen:
        own = [label for label in labels if label.span.path == path]
        lines.append(f"{'':{width}}{'-->' if path == seen[0] else ':::'} {visible(str(own[0].span))}")
        lines += _excerpt(_source(diagnostic, path), own, diagnostic.primary, width)
    lines += [f"{'':{width}} = note: {note}" for note in diagnostic.notes]
    if diagnostic.help:
        lines.append(f"{'':{width}} = help: {diagnostic.help}")
    return "\n".join(line.rstrip() for line in lines)


def _source(diagnostic: Diagnostic, path: str) -> SourceText | None:
    if diagnostic.source is not None and diagnostic.source.path == path:
        return diagnostic.source
    try:
        return SourceText(path, Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def _excerpt(source: SourceText | None, labels: list[Label], primary: Label | None, width: int) -> Iterator[str]:
    """The labelled lines in text order, each with its carets; `^` marks the primary label, `-` the others."""
    if source is None:
        return
    yield f"{'':{width}} |"
    shown = 0
    for label in sorted(labels, key=lambda item: (item.span.line, item.span.column)):
        span = label.span
        text = source.line(span.line)
        if text is None:
            continue
        if shown and span.line > shown + 1:
            yield "..."
        start, end = (
            _columns(text, span.column),
            _columns(text, span.end_column if span.end_line == span.line else len(text) + 1),
        )
        left = max(0, start - WIDEST_LINE // 2) if _columns(text, len(text) + 1) > WIDEST_LINE else 0
        if span.line != shown:
            yield f"{span.line:>{width}} | {visible(text.expandtabs(TAB_COLUMNS)[left : left + WIDEST_LINE])}"
        shown = span.line
        carets = ("^" if label is primary else "-") * max(1, min(end, left + WIDEST_LINE) - start)
        yield f"{'':{width}} | {'':{start - left}}{carets} {label.text}"


def visible(text: str) -> str:
    """The text without what a terminal would act upon, or cannot show: control and format characters, lone surrogates."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs") else char
        for char in text
    )


def _columns(text: str, column: int) -> int:
    """How many screen columns lie left of the character at `column` (from 1), tabs expanded."""
    return len(text[: column - 1].expandtabs(TAB_COLUMNS))
