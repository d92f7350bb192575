"""What `verify` found, as the user asked to see it: a table, CSV, one line a program, or the difference to a saved run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from bpfsmith import __version__
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.report import Report
from bpfsmith.workflow import columns
from bpfsmith.workflow.columns import Column, Row
from bpfsmith.workflow.inputs import write_output
from bpfsmith.workflow.loadable import Choices
from bpfsmith.workflow.profiling import Cost, profile_lines


def choices(maps: Sequence[str], section: str | None) -> Choices:
    """Reads NAME=ENTRIES[:VALUE_SIZE]. InputError `bad-command`."""
    found = {}
    for text in maps:
        match = re.fullmatch(r"(.+)=(\d+)(?::(\d+))?", text)
        if match is None:
            problem = f"--map {text} is not NAME=ENTRIES or NAME=ENTRIES:VALUE_SIZE"
            raise InputError(Diagnostic("bad-command", problem, help="write --map flows=1024"))
        found[match[1]] = int(match[2]), int(match[3]) if match[3] else None
    return Choices(found, section)


def printed(
    report: Report,
    form: str,
    saved: Sequence[Row] | None,
    shown: Sequence[Column] | None,
    sort: Sequence[str],
    filters: Sequence[str],
) -> list[str]:
    """The lines for the terminal or a file."""
    rows = columns.rows_of(report.programs)
    if saved is not None:
        rows = columns.compared_rows(saved, rows)
    rows = columns.arranged(rows, sort, filters)
    if form == "csv":
        return columns.csv_text(rows).splitlines()
    if form == "concise" and saved is None:
        return [f"{row['name']} {row['verdict']} {row['reason'] or ''}".rstrip() for row in rows]
    return columns.table(rows, shown, compared=saved is not None)


def diffs(report: Report) -> list[str]:
    """The changes that were found for rejected programs, as `patch` takes them."""
    repairs = report.details.get("repairs", [])
    return [str(item["diff"]) for item in repairs] if isinstance(repairs, list) else []


def profiles(report: Report) -> list[str]:
    """The dearest source lines of each program."""
    found = report.details.get("profiles", {})
    tables = (
        [profile_lines(name, [Cost(**item) for item in rows]) for name, rows in found.items()]
        if isinstance(found, dict)
        else []
    )
    return [line for table in tables for line in ("", *table)]


def save(report: Report, path: str, inputs: Sequence[str]) -> None:
    """Writes the run for a later comparison, as its ending says."""
    if path.endswith(".json"):
        text = json.dumps(report.json(__version__), indent=2)
    else:
        text = columns.csv_text(columns.rows_of(report.programs))
    write_output(path, text.encode(), inputs=inputs)


def with_input_errors(report: Report) -> int:
    """The exit status: 2 where a file could not even be opened, else that of the verdict."""
    whole = any(program.verdict == "unloadable" and program.name == "(the file)" for program in report.programs)
    return 2 if whole else report.verdict.exit_code
