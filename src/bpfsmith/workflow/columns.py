"""The table that `verify` prints: one list of columns drives headings, order, sorting, filtering, CSV and comparison.

    program  verdict   insns  processed  states  peak  stack  load ms  jited B
    filter   accepted     23         31       2     2      8     0.12      140

A saved run is a report in JSON, or the CSV that this module writes.
"""

from __future__ import annotations

import csv
import io
import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.report import ProgramReport

Value = str | int | float | None
Row = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is that of the JSON and the CSV, `title` what the terminal shows; `shown` without being asked for."""

    name: str
    title: str
    is_number: bool = True
    shown: bool = True
    compared: bool = False


COLUMNS = (
    Column("file", "file", is_number=False),
    Column("name", "program", is_number=False),
    Column("section", "section", is_number=False),
    Column("kernel", "kernel", is_number=False),
    Column("cpu", "mcpu", is_number=False),
    Column("verdict", "verdict", is_number=False, compared=True),
    Column("insns", "insns", compared=True),
    Column("xlated_slots", "xlated"),
    Column("processed_insns", "processed", compared=True),
    Column("states", "states", compared=True),
    Column("peak_states", "peak", compared=True),
    Column("max_states_per_insn", "max states/insn", shown=False),
    Column("stack_depth", "stack", compared=True),
    Column("load_ms", "load ms"),
    Column("jited_bytes", "jited B", compared=True),
    Column("jited_insns", "jited insns", shown=False),
    Column("attached", "attached", is_number=False),
    Column("runs", "runs"),
    Column("run_ns", "run ns"),
    Column("floor_ns", "floor ns"),
    Column("reason", "reason", is_number=False, shown=False),
)
_BY_NAME = {column.name: column for column in COLUMNS} | {column.title: column for column in COLUMNS}
KEY = ("file", "name", "kernel", "cpu")
"""What tells one row from another, here and in a saved run."""
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "==": operator.eq, "=": operator.eq,
    "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_FILTER = re.compile(r"^(?P<name>[\w/ .]+?)\s*(?P<how><=|>=|!=|==|=|<|>|~)\s*(?P<value>.*)$")


def columns(names: str | None) -> tuple[Column, ...] | None:
    """The columns of a list `a,b,c`, by name or by title. InputError `unknown-column`."""
    if names is None:
        return None
    return tuple(column(name.strip()) for name in names.split(",") if name.strip())


def column(name: str) -> Column:
    found = _BY_NAME.get(name)
    if found is None:
        known = ", ".join(item.name for item in COLUMNS)
        raise InputError(
            Diagnostic(
                "unknown-column", f"there is no column called {name}", notes=(f"the columns are: {known}",), help="name one"
            )
        )
    return found


def rows_of(programs: Iterable[ProgramReport]) -> list[Row]:
    return [{item.name: getattr(program, item.name) for item in COLUMNS} for program in programs]


@dataclass(frozen=True, slots=True)
class Condition:
    """`processed > 1000`, `verdict = rejected`, `name ~ xdp`; a comparison's rows also have `states.diff` and `states.pct`."""

    name: str
    how: str
    value: str

    def holds(self, row: Row) -> bool:
        found = row.get(self.name)
        if found is None:
            return self.how == "!="
        if self.how == "~":
            return re.search(self.value, str(found)) is not None
        if isinstance(found, str):
            return (found == self.value) is (self.how in ("=", "=="))
        return _COMPARISONS[self.how](found, float(self.value.removesuffix("%")))


def condition(text: str) -> Condition:
    """Reads one filter. InputError `bad-filter` or `unknown-column`."""
    match = _FILTER.match(text)
    if match is None:
        raise _bad_filter(text, "it is not of the form COLUMN OP VALUE")
    stem, dot, part = match["name"].partition(".")
    found = column(stem)
    if dot and part not in ("a", "b", "diff", "pct"):
        raise _bad_filter(text, f"`.{part}` is none of .a, .b, .diff and .pct")
    how, value = match["how"], match["value"].strip()
    if how == "~":
        try:
            re.compile(value)
        except re.error as error:
            raise _bad_filter(text, f"its pattern is wrong: {error}") from error
    elif found.is_number:
        try:
            float(value.removesuffix("%"))
        except ValueError:
            raise _bad_filter(text, f"`{value}` is not a number") from None
    elif how not in ("=", "==", "!="):
        raise _bad_filter(text, f"`{found.name}` is text, which is compared with =, != or ~")
    return Condition(found.name + dot + part, how, value)


def _bad_filter(text: str, why: str) -> InputError:
    return InputError(
        Diagnostic(
            "bad-filter",
            f"the filter `{text}` cannot be read: {why}",
            help="write `processed>1000`, `verdict=rejected` or `name~xdp`",
        )
    )


def arranged(rows: Sequence[Row], sort: Sequence[str], filters: Sequence[str]) -> list[Row]:
    """Filtered by all of `filters`, sorted by each of `sort` in turn (`COLUMN:desc` for descending); unknown values last."""
    conditions = [condition(text) for text in filters]
    out = [row for row in rows if all(item.holds(row) for item in conditions)]
    for spec in reversed(sort):
        stem, dot, part = spec.removesuffix(":desc").partition(".")
        name = column(stem).name + dot + part
        known = [row for row in out if row.get(name) is not None]
        known.sort(key=lambda row: row[name], reverse=spec.endswith(":desc"))  # type: ignore[arg-type, return-value]
        out = known + [row for row in out if row.get(name) is None]
    return out


def table(rows: Sequence[Row], chosen: Sequence[Column] | None = None, compared: bool = False) -> list[str]:
    """Aligned lines. Columns that nobody fills, and a file that is the same in all rows, are left out unless asked for."""
    names = _compared_names(chosen) if compared else _plain_names(rows, chosen)
    heads = [_heading(name) for name in names]
    cells = [["-" if row.get(name) is None else _shown(row[name], name) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in (heads, *cells)) for i in range(len(names))]
    right = [_BY_NAME[name.partition(".")[0]].is_number for name in names]

    def line(texts: Sequence[str]) -> str:
        padded = (t.rjust(w) if r else t.ljust(w) for t, w, r in zip(texts, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    return [line(heads), *map(line, cells)]


def _plain_names(rows: Sequence[Row], chosen: Sequence[Column] | None) -> list[str]:
    if chosen is not None:
        return [item.name for item in chosen]
    return [
        item.name
        for item in COLUMNS
        if item.shown
        and any(row.get(item.name) is not None for row in rows)
        and not (item.name == "file" and len({row["file"] for row in rows}) == 1)
    ]


def _compared_names(chosen: Sequence[Column] | None) -> list[str]:
    names = list(KEY[:2])
    for item in chosen if chosen is not None else COLUMNS:
        if item.name in KEY or item.name == "section":
            continue
        if chosen is None and item.name not in ("verdict", "insns", "processed_insns", "states"):
            continue
        names += [f"{item.name}.a", f"{item.name}.b", f"{item.name}.diff"] + [f"{item.name}.pct"] * item.is_number
    return names


def _heading(name: str) -> str:
    stem, dot, part = name.partition(".")
    title = _BY_NAME[stem].title
    return f"{title} ({part.upper()})" if dot else title


def _shown(value: Value, name: str) -> str:
    if name.endswith(".pct"):
        return f"{value:+.1f}%"
    return f"{value:+g}" if name.endswith(".diff") and not isinstance(value, str) else str(value)


def compared_rows(before: Sequence[Row], after: Sequence[Row]) -> list[Row]:
    """One row for each program of either run: the values of both as `x.a` and `x.b`, `x.diff` = B - A, `x.pct` of A.

    `verdict.diff` is MATCH or MISMATCH; a program that one run lacks is N/A there.
    """
    first, second = ({_key(row): row for row in rows} for rows in (before, after))
    out: list[Row] = []
    for key in dict.fromkeys((*second, *first)):
        row: dict[str, Value] = dict(zip(KEY, key, strict=True))
        a, b = first.get(key, {}), second.get(key, {})
        for item in COLUMNS:
            if item.name in KEY:
                continue
            old, new = a.get(item.name), b.get(item.name)
            row[f"{item.name}.a"], row[f"{item.name}.b"] = old, new
            if not item.is_number:
                row[f"{item.name}.diff"] = "N/A" if not a or not b else "MATCH" if old == new else "MISMATCH"
            elif isinstance(old, int | float) and isinstance(new, int | float):
                row[f"{item.name}.diff"] = round(new - old, 3)
                row[f"{item.name}.pct"] = round(100.0 * (new - old) / old, 2) if old else 0.0 if new == old else 100.0
        out.append(row)
    return out


def _key(row: Row) -> tuple[Value, ...]:
    """Runs from different directories correspond by file name."""
    file = row.get("file")
    return (Path(str(file)).name if file else None, row.get("name"), row.get("kernel") or None, row.get("cpu") or None)


def csv_text(rows: Sequence[Row]) -> str:
    """The rows as CSV, every column, a heading first; a value that is not known is an empty field."""
    names = list(rows[0]) if rows and any("." in name for name in rows[0]) else [item.name for item in COLUMNS]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(["" if row.get(name) is None else row.get(name) for name in names] for row in rows)
    return out.getvalue()


def saved_rows(path: str) -> list[Row]:
    """The rows of a run that was saved as JSON or CSV. InputError `unreadable-file` or `bad-saved-run`."""
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            Diagnostic("unreadable-file", f"{path} cannot be read: {error}", help="check the path and its permissions")
        ) from error
    try:
        found: list[Mapping[str, object]]
        found = json.loads(text)["programs"] if text.lstrip().startswith("{") else list(csv.DictReader(io.StringIO(text)))
        if any("name" not in row or "verdict" not in row for row in found) or not found:
            raise ValueError("it has no rows with name and verdict")
        return [{item.name: _read(row.get(item.name), item) for item in COLUMNS} for row in found]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            Diagnostic(
                "bad-saved-run",
                f"{path} is no saved run of `bpfsmith verify`",
                notes=(str(error),),
                help="save one with `bpfsmith verify FILE.. --save RUN.csv`",
            )
        ) from error


def _read(value: object, item: Column) -> Value:
    if value is None or value == "":
        return None
    if not item.is_number or isinstance(value, int | float):
        return value if isinstance(value, str | int | float) else str(value)
    text = str(value)
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
