"""Printing: results to stdout, diagnostics to stderr, JSON as one object."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from bpfsmith import __version__
from bpfsmith.diagnostic import Diagnostic, ToolError
from bpfsmith.render import diagnostic_text
from bpfsmith.report import Report


def working(what: str) -> AbstractContextManager[object]:
    """Says what is being done while it takes long; nothing into a pipe."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(f"{what} ..")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function that says how far long work has come, on stderr; nothing into a pipe."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting ..") as status:
        yield lambda text: status.update(f"{text} ..")


def print_json(report: Report) -> None:
    print(json.dumps(report.json(__version__), indent=2))


def print_diagnostics(diagnostics: Iterable[Diagnostic], output_format: str = "full") -> None:
    """Each on stderr; concise is one line each."""
    for diagnostic in diagnostics:
        if output_format == "concise":
            place = f"{diagnostic.primary.span}: " if diagnostic.primary else ""
            print(f"{place}{diagnostic.severity}[{diagnostic.id}]: {diagnostic.message}", file=sys.stderr)
        else:
            print(diagnostic_text(diagnostic), file=sys.stderr)
            print(file=sys.stderr)


def print_error(error: ToolError, command: str, as_json: bool) -> None:
    """The diagnostics of a command that stopped; in JSON the same envelope as ever, with the verdict "error"."""
    if as_json:
        envelope = {
            "version": __version__, "command": command, "verdict": "error", "assumptions": [], "counterexample": None,
            "programs": [], "diagnostics": [item.json() for item in error.diagnostics],
        }  # fmt: skip
        print(json.dumps(envelope, indent=2))
    print_diagnostics(error.diagnostics)
