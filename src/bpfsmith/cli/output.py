"""Printing: results to stdout, diagnostics to stderr, JSON as one object."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfsmith import __version__
from bpfsmith.diagnostic import Diagnostic, ToolError
from bpfsmith.render import diagnostic_text
from bpfsmith.report import Report

if TYPE_CHECKING:
    from bpfsmith.page.model import Page


@dataclass(slots=True)
class Said:
    """What a run of the command told the user: for those who read it elsewhere than on the terminal."""

    diagnostics: list[Diagnostic] = field(default_factory=list)
    report: Report | None = None


_SAID: ContextVar[Said | None] = ContextVar("said", default=None)


@contextmanager
def listening() -> Iterator[Said]:
    """What is printed and reported inside is in what this gives."""
    said = Said()
    token = _SAID.set(said)
    try:
        yield said
    finally:
        _SAID.reset(token)


def reported(args: argparse.Namespace, report: Report, page: Callable[[], Page], inputs: Sequence[str] = ()) -> None:
    """Writes the page that --report asks for, and keeps the report for annotations."""
    said = _SAID.get()
    if said is not None:
        said.report = report
    if getattr(args, "report", None):
        from bpfsmith.page.html import html
        from bpfsmith.workflow.inputs import write_output

        write_output(args.report, html(page()).encode(), inputs=inputs)


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
    said = _SAID.get()
    for diagnostic in diagnostics:
        if said is not None:
            said.diagnostics.append(diagnostic)
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
