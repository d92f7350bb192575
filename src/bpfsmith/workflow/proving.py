"""Verdicts as reports: proves one program against a reference and says so in the envelope of a command."""

from __future__ import annotations

from dataclasses import replace

from bpfsmith.report import Outcome, Report
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.workflow.describe import Vocabulary, counterexample_json


def with_verdict(report: Report, verdict: Verdict, words: Vocabulary) -> Report:
    """The report with what the proof found."""
    match verdict:
        case Equal(assumptions=assumptions, evidence=evidence):
            return replace(report, verdict=Outcome.EQUAL, assumptions=assumptions, evidence=evidence)
        case Different(counterexample=example):
            return replace(report, verdict=Outcome.DIFFERENT, counterexample=counterexample_json(example, words))
        case Unknown(gap=gap, detail=detail, evidence=evidence):
            return replace(report, verdict=Outcome.UNKNOWN, unknown=f"{gap}: {detail}", evidence=evidence)
