"""`cost` and `measure --show`: paths, lines, advice, pictures, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import ROOT, bpfsmith

CACHE = ROOT / "examples" / "cost" / "cache.bpf.c"


def test_cost_lists_paths_and_lines() -> None:
    """Every path with its outcome, every line with its ns; JSON has the same."""
    done = bpfsmith("cost", CACHE)
    assert (done.status, done.err) == (0, "")
    assert "XDP_TX" in done.out
    assert "bpf_map_lookup_elem(&known, &key)" in done.out
    report = bpfsmith("cost", CACHE, "--output-format", "json").envelope
    prediction = report["predictions"]["cache"]
    assert prediction["complete"]
    best = prediction["paths"][0]
    assert (best["outcome"], best["answers"]) == ("XDP_TX", True)
    assert sum(line["ns"] for line in best["lines"]) == pytest.approx(best["ns"], rel=0.02)


def test_advice_is_plain(tmp_path: Path) -> None:
    """Exit 0 where it pays, 1 where it does not, 3 where it is too close; the answer is a line of its own."""
    (tmp_path / "w.json").write_text('{"XDP_TX": 61, "XDP_PASS": 39}')
    done = bpfsmith("cost", CACHE, "--workload", tmp_path / "w.json", "--rate", "100000", "--plot", tmp_path / "w.svg")
    assert done.status == 0
    assert "offload: pays while at least" in done.out
    assert "you have 61%" in done.out
    assert "at 100,000 requests a second" in done.out
    assert (tmp_path / "w.svg").read_bytes().startswith(b"<?xml")
    dear = bpfsmith("cost", CACHE, "--cflags=-DDIGEST=8192", "--hits", "0.9")
    assert dear.status == 1
    assert "do not offload: it does not pay at any share" in dear.out
    report = bpfsmith("cost", CACHE, "--hits", "0.9", "--output-format", "json").envelope
    even = report["advice"]["break_even"]
    close = bpfsmith("cost", CACHE, "--hits", str(even), "--output-format", "json")
    assert (close.status, close.envelope["verdict"]) == (3, "unknown")


def test_more_keys_cost_more() -> None:
    """A lookup among 100,000 keys is dearer than one of a single key, and skew takes some of it back."""

    def ns(*more: str) -> float:
        found = bpfsmith("cost", CACHE, "--output-format", "json", *more).envelope
        return float(found["predictions"]["cache"]["paths"][0]["ns"])

    one, many, popular = ns(), ns("--keys", "4000"), ns("--keys", "4000", "--skew", "1.4")
    assert one < popular < many


@pytest.mark.parametrize(
    ("arguments", "id"),
    [
        (("cost", CACHE, "--hits", "2"), "bad-command"),
        (("cost", CACHE, "--hits", "0.5", "--workload", "x"), "bad-command"),
        (("cost", CACHE, "--plot", "x.svg"), "bad-command"),
        (("cost", CACHE, "--hits", "0.5", "--plot", "x.pdf"), "unknown-file-type"),
        (("cost", CACHE, "--workload", "missing.json"), "unreadable-file"),
        (("cost", CACHE, "--profile", CACHE), "bad-profile"),
        (("cost", ROOT / "benchmarks/held_out/filters.bpf.c", "--hits", "0.5"), "ambiguous-program"),
        (("measure", "--show", "missing.json"), "unreadable-file"),
        (("measure", "--table", "nonsense"), "unknown-table"),
        (("measure", "--show", "--plot", "x.gif"), "unknown-file-type"),
        (("measure", "--pace", "0"), "bad-command"),
        (("measure", "-o", "missing/profile.json"), "unwritable-output"),
        (("cost", CACHE, "--rate", "5"), "bad-command"),
        (("cost", CACHE, "--service-ns", "5"), "bad-command"),
        (("cost", ROOT / "benchmarks/held_out/filters.bpf.c:accounting", "--hits", "0.5"), "bad-command"),
    ],
)
def test_bad_input_is_said(arguments: tuple[str | Path, ...], id: str, tmp_path: Path) -> None:
    """Exit 2, one diagnostic, no traceback, no file."""
    done = bpfsmith(*arguments, cwd=tmp_path)
    assert (done.status, done.ids) == (2, [id])
    assert not list(tmp_path.iterdir())


def test_the_shipped_profile_is_shown() -> None:
    """With where it comes from, the study's values and what is not resolved; JSON is what the file holds."""
    done = bpfsmith("measure", "--show")
    assert done.status == 0
    assert "measured on another machine" in done.out
    assert "Table 3" in done.out
    assert "an array is faster than a hash" in done.out
    report = bpfsmith("measure", "--show", "--output-format", "json").envelope
    shipped = json.loads((ROOT / "src/bpfsmith/cost/default_profile.json").read_text())
    assert report["experiments"] == shipped["experiments"]


def test_a_table_of_a_profile_is_shown() -> None:
    """And nothing else of it."""
    shown = bpfsmith("measure", "--show", "--table", "copy").out
    assert "Table 6" in shown
    assert "Table 3" not in shown


def test_pictures_are_drawn_in_the_terminal() -> None:
    """Without a file name: curves of the profile, and the break-even with where the workload stands."""
    curves = bpfsmith("measure", "--show", "--plot").out
    assert "⠤o⠤ array" in curves
    even = bpfsmith("cost", CACHE, "--hits", "0.61", "--plot").out
    assert "this workload, 61%" in even
    assert "break-even" in even


@pytest.mark.kernel
def test_a_prediction_is_checked_by_running(tmp_path: Path) -> None:
    """What is measured stands beside what is predicted, and the error is that of these two numbers."""
    report = bpfsmith("cost", CACHE, "--check", "--output-format", "json").envelope
    check = report["checks"]["cache"]
    assert check["outcome"] == "XDP_PASS"  # the packet is for another port
    assert check["rounds"] >= 15
    assert check["error"] == pytest.approx(abs(check["predicted_ns"] - check["measured_ns"]) / max(check["measured_ns"], 1))
    assert 0 < check["slowdown"] < 20
    probe = tmp_path / "probe.s"
    probe.write_text(".section raw_tp\nr0 = 0\nexit\n")
    refused = bpfsmith("cost", probe, "--check")
    assert refused.status == 2
    assert "raw_tp programs are not timed" in refused.err
