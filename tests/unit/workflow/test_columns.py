"""The table of `verify`: rows are kept, sorted and compared without losing a program or a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.diagnostic import InputError
from bpfsmith.report import ProgramReport
from bpfsmith.workflow import columns

RUN = columns.rows_of(
    [
        ProgramReport("a", "xdp", 10, verdict="accepted", processed_insns=50, states=3, file="x.o"),
        ProgramReport("b", "tc", 7, verdict="rejected", processed_insns=900, states=20, file="x.o", reason="no, really"),
        ProgramReport("c", "tc", 3, verdict="unloadable", file="y.o"),
    ]
)


def names(rows: list[columns.Row]) -> list[object]:
    return [row["name"] for row in rows]


def test_rows_sort_by_several_columns_with_unknown_values_last() -> None:
    assert names(columns.arranged(RUN, ["processed:desc"], [])) == ["b", "a", "c"]
    assert names(columns.arranged(RUN, ["processed"], [])) == ["a", "b", "c"]
    assert names(columns.arranged(RUN, ["file", "insns:desc"], [])) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("processed > 50", ["b"]),
        ("processed>=50", ["a", "b"]),
        ("verdict=accepted", ["a"]),
        ("verdict!=accepted", ["b", "c"]),
        ("name ~ ^[bc]", ["b", "c"]),
        ("file~y", ["c"]),
        ("processed_insns!=50", ["b", "c"]),
    ],
)
def test_a_filter_keeps_the_rows_where_it_holds(text: str, left: list[str]) -> None:
    assert names(columns.arranged(RUN, [], [text])) == left


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("processed", "bad-filter"),
        ("nonesuch>3", "unknown-column"),
        ("processed>many", "bad-filter"),
        ("verdict>3", "bad-filter"),
        ("name~(", "bad-filter"),
        ("states.x>3", "bad-filter"),
    ],
)
def test_a_wrong_filter_is_told(text: str, id_: str) -> None:
    with pytest.raises(InputError) as caught:
        columns.condition(text)
    assert caught.value.diagnostics[0].id == id_


def test_a_saved_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_text(columns.csv_text(RUN))
    assert columns.saved_rows(str(path)) == RUN


def test_a_run_compared_with_itself_shows_no_difference() -> None:
    rows = columns.compared_rows(RUN, RUN)
    assert all(row["verdict.diff"] == "MATCH" for row in rows)
    assert [row.get("processed_insns.diff") for row in rows] == [0, 0, None]
    assert columns.arranged(rows, [], ["states.pct>0"]) == []


def test_a_comparison_shows_both_values_their_difference_and_its_share() -> None:
    after = columns.rows_of([ProgramReport("a", "xdp", 10, verdict="rejected", processed_insns=75, file="dir/x.o")])
    row = columns.compared_rows(RUN, after)[0]
    assert (row["processed_insns.a"], row["processed_insns.b"]) == (50, 75)
    assert (row["processed_insns.diff"], row["processed_insns.pct"]) == (25, 50.0)
    assert row["verdict.diff"] == "MISMATCH"
    assert "+50.0%" in columns.table([row], compared=True)[1]


def test_a_program_that_one_run_lacks_is_in_the_comparison() -> None:
    rows = columns.compared_rows(RUN, RUN[:1])
    assert sorted(str(row["name"]) for row in rows) == ["a", "b", "c"]
    assert {str(row["name"]): row["verdict.diff"] for row in rows}["b"] == "N/A"


def test_a_file_that_is_no_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("just,some\nnotes,here\n")
    with pytest.raises(InputError) as caught:
        columns.saved_rows(str(path))
    assert caught.value.diagnostics[0].id == "bad-saved-run"
