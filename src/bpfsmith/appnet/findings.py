"""What a check of one program has found so far, so that all mistakes are reported together and each of them once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from bpfsmith.diagnostic import Diagnostic, InputError, Label, Severity, ToolError, Unsupported
from bpfsmith.source import SourceText, Span

MOST_REPORTED = 100
"""Errors shown of one program; the rest is counted."""


class Findings:
    """Collects the diagnostics of one program; `source` is the text that their labels point into."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.warnings: list[Diagnostic] = []
        self._errors: list[Diagnostic] = []

    def error(
        self,
        id: str,
        message: str,
        span: Span,
        *,
        label: str = "",
        others: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        help: str = "",
    ) -> None:
        """Notes an error; one that was found at the same place just before is not noted twice."""
        primary = Label(span, label)
        found = Diagnostic(id, message, primary, others=others, notes=notes, help=help, source=self.source)
        if found not in self._errors[-8:]:
            self._errors.append(found)

    def warning(self, id: str, message: str, span: Span, *, others: tuple[Label, ...] = (), help: str = "") -> None:
        place = Label(span)
        self.warnings.append(Diagnostic(id, message, place, Severity.WARNING, others, help=help, source=self.source))

    def stop_on_errors(self) -> None:
        """Raises what was found, in text order: Unsupported when nothing is wrong but some of it is not translated."""
        if not self._errors:
            return
        found = sorted(self._errors, key=_place)
        shown = found[:MOST_REPORTED]
        if len(found) > MOST_REPORTED:
            message = f"{len(found) - MOST_REPORTED} more errors are not shown"
            shown.append(Diagnostic("too-many-errors", message, severity=Severity.NOTE))
        kind: type[ToolError] = InputError
        if all(diagnostic.id.startswith("unsupported-") for diagnostic in found):
            kind = Unsupported
        raise kind(*shown)


def _place(diagnostic: Diagnostic) -> tuple[int, int]:
    assert diagnostic.primary is not None
    return diagnostic.primary.span.line, diagnostic.primary.span.column


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that `word` was probably meant to be, or an empty string."""
    by_lower = {item.lower(): item for item in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else ""


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """The help for an unknown name."""
    meant = closest(word, known)
    return f"did you mean `{meant}`?" if meant else otherwise
