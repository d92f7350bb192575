"""What went wrong, as data: every message of the tool to a person is one of these; renderers live elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bpfsmith.source import SourceText, Span


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Label:
    """A place in the user's text and, optionally, a few words that stand under its carets."""

    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: `id` names the problem (never the cure), `message` is one sentence without a full stop,
    `notes` are facts, `help` is an action. Each id has a page in docs/diagnostics."""

    id: str
    message: str
    primary: Label | None = None
    severity: Severity = Severity.ERROR
    others: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str = ""
    source: SourceText | None = None  # the text the labels point into, when it is not a readable file

    def json(self) -> dict[str, object]:
        """The JSON form that `--output-format json` prints."""

        def label(item: Label) -> dict[str, object]:
            span = item.span
            return {
                "path": span.path,
                "line": span.line,
                "column": span.column,
                "end_line": span.end_line,
                "end_column": span.end_column,
                "text": item.text,
            }

        return {
            "id": self.id,
            "severity": str(self.severity),
            "message": self.message,
            "primary": label(self.primary) if self.primary else None,
            "others": [label(item) for item in self.others],
            "notes": list(self.notes),
            "help": self.help,
        }


class ToolError(Exception):
    """Carries diagnostics up to the command line; `exit_code` is the process's exit status."""

    exit_code = 2

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(diagnostics[0].message if diagnostics else "")
        self.diagnostics = diagnostics


class InputError(ToolError):
    """The input or the command was wrong."""


class Unsupported(ToolError):
    """The input is right, but asks for something that is not supported (yet, or in eBPF at all)."""


class KernelError(ToolError):
    """The kernel refused something that is not a verdict on the user's program (permission, missing feature)."""


class InternalError(ToolError):
    """A bug of ours."""

    exit_code = 70
