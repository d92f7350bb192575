"""Every kind of rejection has a program that the kernel really refuses with it, at the line where its change belongs."""

from __future__ import annotations

from pathlib import Path

import pytest
from rejected import refused

from bpfsmith.repair.diagnose import diagnose, diagnostic
from bpfsmith.repair.kind import Kind
from bpfsmith.repair.table import KINDS
from bpfsmith.workflow.inputs import Toolchain

pytestmark = pytest.mark.kernel

EXAMPLES = Path(__file__).parents[2] / "examples" / "rejected"
HERE = [kind for kind in KINDS if not kind.elsewhere]


def of(kind: Kind) -> Path:
    return EXAMPLES / f"{kind.example}.bpf.c"


@pytest.mark.parametrize("kind", HERE, ids=lambda kind: kind.example)
def test_the_example_is_refused_and_told_at_its_line(kind: Kind) -> None:
    found = refused(of(kind), Toolchain())
    assert found is not None, "the kernel accepts it"
    diagnosis = diagnose(*found)
    assert diagnosis.kind is kind, found[1].error_lines
    told = diagnostic(diagnosis)
    text = of(kind).read_text().split("\n")
    assert told.primary is not None
    assert "// <-" in text[told.primary.span.line - 1]
    assert all(any(line in note for note in told.notes) for line in found[1].error_lines), "the kernel's words, unaltered"
    assert ".." not in told.message
    assert told.help


@pytest.mark.parametrize("kind", HERE, ids=lambda kind: kind.example)
def test_the_example_with_its_change_is_accepted(kind: Kind) -> None:
    assert refused(of(kind), Toolchain(flags=("-DFIXED",))) is None


def test_there_are_kinds_enough() -> None:
    assert len(HERE) >= 60
    assert len({kind.id for kind in KINDS}) == len(KINDS)
