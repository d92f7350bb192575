"""Diagnostics elsewhere: workflow commands that GitHub reads back as they were, and SARIF that has all that was said."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

from bpfsmith.diagnostic import Diagnostic, Label, Severity
from bpfsmith.report import Outcome, Report
from bpfsmith.source import Span
from bpfsmith.workflow.annotating import github_lines, of_verdict, sarif

TOLD = Diagnostic(
    "verifier-rejected", "100%: a, b:\nc", Label(Span("dir/a,b.bpf.c", 4, 2, 4, 9), "here"), notes=("one", "two"), help="do it",
    others=(Label(Span("dir/c.h", 7)),),
)  # fmt: skip


def test_an_annotation_is_one_line_and_says_all() -> None:
    """Law: undoing GitHub's escapes gives the message, its notes and its help, and the place as it was."""
    (line,) = github_lines([TOLD])
    head, _, words = line.removeprefix("::").partition("::")
    kind, _, properties = head.partition(" ")
    assert kind == "error"
    assert unquote(words) == "100%: a, b:\nc\none\ntwo\nhelp: do it"
    found = {name: unquote(value) for name, value in (item.split("=", 1) for item in properties.split(","))}
    wanted = {"file": "dir/a,b.bpf.c", "line": "4", "endLine": "4", "col": "2", "endColumn": "9", "title": "verifier-rejected"}
    assert found == wanted


def test_sarif_has_a_rule_with_its_page_for_each_id(tmp_path: Path) -> None:
    told = (TOLD, Diagnostic("no-bpf", "x", severity=Severity.WARNING), TOLD)
    (run,) = json.loads(sarif(told))["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["verifier-rejected", "no-bpf"]
    assert all(rule["help"]["markdown"].startswith(f"# {rule['id']}") for rule in rules)
    assert [(item["level"], rules[item["ruleIndex"]]["id"]) for item in run["results"]] == [
        ("error", "verifier-rejected"), ("warning", "no-bpf"), ("error", "verifier-rejected"),
    ]  # fmt: skip
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert unquote(place["artifactLocation"]["uri"]) == "dir/a,b.bpf.c"
    assert place["region"] == {"startLine": 4, "startColumn": 2, "endLine": 4, "endColumn": 9}
    assert "locations" not in run["results"][1]


def test_a_place_in_sarif_is_a_uri_reference() -> None:
    """Law: what no URI may hold is escaped (RFC 3986, section 2.1), and undoing that gives the path."""
    (run,) = json.loads(sarif([Diagnostic("no-bpf", "x", Label(Span("a dir/50%é.bpf.c", 1)))]))["runs"]
    uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert (uri, unquote(uri)) == ("a%20dir/50%25%C3%A9.bpf.c", "a dir/50%é.bpf.c")


def test_a_difference_is_told_where_the_runs_part() -> None:
    """Law: the annotation of a `Different` is at the candidate's first line of its own."""
    trace = [{"place": "mine.bpf.c:3", "text": ""}, {"place": "mine.bpf.c:9", "text": ""}]
    example = {
        "observable": "return value", "expected": {"action": "XDP_PASS (2)"}, "actual": {"action": "XDP_DROP (1)"},
        "traces": {"common_lines": 1, "reference": [], "candidate": trace},
    }  # fmt: skip
    details = {"reference": "a.appnet", "candidate": "src/mine.bpf.c:f"}
    (told,) = of_verdict(Report("check", Outcome.DIFFERENT, counterexample=example, details=details))
    assert (told.id, told.primary and told.primary.span) == ("semantic-mismatch", Span("src/mine.bpf.c", 9))
    assert told.notes == ("expected: returns XDP_PASS (2)", "actual: returns XDP_DROP (1)")
    assert of_verdict(Report("check", Outcome.EQUAL, details=details)) == ()
