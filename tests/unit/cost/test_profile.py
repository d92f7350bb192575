"""The profile as a file: what is written is what is read, and what is no profile is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.cost.experiments import EXPERIMENTS, TABLES, of_tables
from bpfsmith.cost.plot import picture
from bpfsmith.cost.profile import DEFAULT_PATH, load_profile, to_json
from bpfsmith.diagnostic import InputError
from bpfsmith.workflow.measuring import bar, number, profile_lines, tables_of


def test_the_shipped_profile_says_that_it_was_measured_elsewhere() -> None:
    """It has every experiment, and nobody takes it for the user's machine."""
    profile = load_profile()
    assert profile.elsewhere
    assert profile.provenance.origin == "shipped"
    assert set(profile.experiments) == {item.id for item in EXPERIMENTS}
    assert "measured on another machine" in next(profile_lines(profile))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Byte for byte."""
    written = to_json(load_profile())
    file = tmp_path / "profile.json"
    file.write_bytes(written)
    assert to_json(load_profile(file)) == written


BROKEN: list[tuple[str, Any]] = [
    ("not JSON", "{"),
    ("another format", {"format": "something"}),
    ("no object", [1]),
    ("another version", {"format": "bpfsmith-cost-profile", "version": 99}),
    ("no experiments", {"format": "bpfsmith-cost-profile", "version": 2}),
]


@pytest.mark.parametrize("body", [body for _, body in BROKEN], ids=[name for name, _ in BROKEN])
def test_what_is_no_profile_is_refused(body: Any, tmp_path: Path) -> None:
    """With one diagnostic, never a traceback."""
    file = tmp_path / "profile.json"
    file.write_text(body if isinstance(body, str) else json.dumps(body))
    with pytest.raises(InputError) as caught:
        load_profile(file)
    assert caught.value.diagnostics[0].id == "bad-profile"


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """A word in the place of a median is found where it is read."""
    body = json.loads(DEFAULT_PATH.read_bytes())
    body["experiments"]["maps.kinds"]["cases"]["hash"]["value"] = "fast"
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(body))
    with pytest.raises(InputError, match=r"maps\.kinds, hash"):
        load_profile(file)


def test_experiments_are_consistent() -> None:
    """Floors and orderings name cases of their own experiment; ids are unique; every experiment is in a table."""
    assert len({item.id for item in EXPERIMENTS}) == len(EXPERIMENTS)
    for item in EXPERIMENTS:
        names = [case.name for case in item.cases]
        assert len(set(names)) == len(names), item.id
        wanted = {case.floor for case in item.cases if case.floor} | {n for o in item.orderings for n in (o.less, o.more)}
        assert wanted <= set(names), item.id
        assert item.table in TABLES
    assert set(of_tables(TABLES)) == set(EXPERIMENTS)


def test_tables_are_named() -> None:
    """`all` is all of them, a misspelt one is refused."""
    assert tables_of("all") == TABLES
    assert tables_of("maps,user") == ("maps", "user")
    for text in ("map", "", "maps,nonsense"):
        with pytest.raises(InputError) as caught:
            tables_of(text)
        assert caught.value.diagnostics[0].id == "unknown-table"


def test_a_profile_is_drawn() -> None:
    """The picture is of the kind that its name says, and the same profile makes the same picture."""
    profile = load_profile()
    few = replace(profile, experiments={n: profile.experiments[n] for n in ("maps.kinds", "maps.footprint")})
    drawn = picture(few, "x.svg")
    assert drawn.startswith(b"<?xml")
    assert drawn == picture(few, "x.svg")
    assert picture(few, "x.PNG").startswith(b"\x89PNG")


def test_bars_are_as_long_as_their_values() -> None:
    """The largest fills the width, half of it is half as long, nothing is nothing."""
    assert bar(10, 10, 8) == "█" * 8
    assert bar(5, 10, 8) == "█" * 4
    assert bar(0, 10, 8) == bar(-3, 10, 8) == ""


@pytest.mark.parametrize(("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (1234.5, "1,234"), (3.0, "3")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    """No more digits than the measurement is worth."""
    assert number(value) == text
