"""Diagnostics for those who show them beside the code: GitHub's workflow commands, and SARIF 2.1.0 (OASIS)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from urllib.parse import quote

from bpfsmith import __version__
from bpfsmith.diagnostic import Diagnostic, InputError, Label, Severity
from bpfsmith.report import Outcome, Report
from bpfsmith.source import Span
from bpfsmith.workflow.inputs import split_program
from bpfsmith.workflow.pages import page

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def of_verdict(report: Report | None) -> tuple[Diagnostic, ...]:
    """A verdict that does not hold as a diagnostic, where the command has no other word for it."""
    if report is None or report.command != "check":
        return ()
    reference, candidate = str(report.details["reference"]), str(report.details["candidate"])
    if report.verdict is Outcome.DIFFERENT and report.counterexample is not None:
        what = f"{candidate} differs from {reference} in the {report.counterexample['observable']}"
        notes = (
            f"expected: {_returns(report.counterexample['expected'])}",
            f"actual: {_returns(report.counterexample['actual'])}",
        )
        help_text = f"`bpfsmith check {reference} {candidate}` shows the input and both runs"
        return (Diagnostic("semantic-mismatch", what, Label(_place(report, candidate)), notes=notes, help=help_text),)
    if report.verdict is Outcome.UNKNOWN:
        what = f"{candidate} is neither proved equal to {reference} nor refuted"
        place = Label(Span(split_program(candidate)[0], 1))
        return (Diagnostic("not-proved", what, place, Severity.WARNING, notes=(str(report.unknown),)),)
    return ()


def _returns(run: object) -> str:
    return f"returns {run['action']}" if isinstance(run, dict) else ""


def _place(report: Report, candidate: str) -> Span:
    """The first line that only the candidate runs, if it is a line of its file; else the file."""
    path = split_program(candidate)[0]
    traces = (report.counterexample or {}).get("traces")
    lines = traces["candidate"][traces["common_lines"] :] if isinstance(traces, dict) else []
    for line in lines:
        name, _, number = str(line["place"]).rpartition(":")
        if name == PurePath(path).name and number.isdigit():
            return Span(path, int(number))
    return Span(path, 1)


# --- GitHub -----------------------------------------------------------------------------------------------------------
def github_lines(diagnostics: Iterable[Diagnostic]) -> Iterator[str]:
    """Workflow commands that a GitHub runner turns into annotations."""
    for item in diagnostics:
        where = {"title": item.id}
        if item.primary is not None:
            span = item.primary.span
            where = {
                "file": _relative(span.path), "line": str(span.line), "endLine": str(span.end_line), "col": str(span.column),
                "endColumn": str(span.end_column), **where,
            }  # fmt: skip
        words = "\n".join([item.message, *item.notes, *([f"help: {item.help}"] if item.help else [])])
        properties = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in where.items())
        yield f"::{_COMMANDS[item.severity]} {properties}::{_escaped(words)}"


def _escaped(text: str, more: str = "") -> str:
    """As GitHub's toolkit escapes: what would end the command, or in a property the property."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for char in more:
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def _relative(path: str) -> str:
    """From the current directory where it lies below, as annotations want it."""
    found = Path(path)
    return str(found.relative_to(Path.cwd())) if found.is_absolute() and found.is_relative_to(Path.cwd()) else path


# --- SARIF ------------------------------------------------------------------------------------------------------------
def sarif(diagnostics: Sequence[Diagnostic]) -> str:
    """One run with a rule for each id, whose help is its page."""
    ids = list(dict.fromkeys(item.id for item in diagnostics))
    driver = {
        "name": "bpfsmith", "version": __version__, "semanticVersion": __version__,
        "rules": [_rule(id) for id in ids],
    }  # fmt: skip
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(item, ids) for item in diagnostics],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(id: str) -> dict[str, object]:
    try:
        text = page(id)
    except InputError:  # a page that is not installed
        return {"id": id}
    meaning = text.partition("## What it means")[2].partition("\n## ")[0].strip()
    return {"id": id, "shortDescription": {"text": meaning.split("\n\n")[0].replace("\n", " ") or id},
            "help": {"text": text, "markdown": text}}  # fmt: skip


def _result(item: Diagnostic, ids: Sequence[str]) -> dict[str, object]:
    words = [item.message, *item.notes, *([f"help: {item.help}"] if item.help else [])]
    found: dict[str, object] = {
        "ruleId": item.id, "ruleIndex": ids.index(item.id), "level": _LEVELS[item.severity],
        "message": {"text": "\n".join(words)},
    }  # fmt: skip
    if item.primary is not None:
        found["locations"] = [_location(item.primary)]
    if item.others:
        found["relatedLocations"] = [{"id": at, **_location(label)} for at, label in enumerate(item.others, 1)]
    return found


def _location(label: Label) -> dict[str, object]:
    span = label.span
    region = {"startLine": span.line, "startColumn": span.column, "endLine": span.end_line, "endColumn": span.end_column}
    artifact = {"uri": quote(_relative(span.path))}
    place: dict[str, object] = {"physicalLocation": {"artifactLocation": artifact, "region": region}}
    return {**place, "message": {"text": label.text}} if label.text else place
