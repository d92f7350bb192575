"""Mistakes as people make them are told at their line and for what they are, whatever -O level they were compiled at."""

from __future__ import annotations

from pathlib import Path

import pytest
import rejected

from bpfsmith.repair.diagnose import diagnose, diagnostic
from bpfsmith.workflow.inputs import Toolchain

pytestmark = pytest.mark.kernel

NAMES = sorted(path.name.partition(".")[0] for path in rejected.PROGRAMS.glob("*.bpf.c"))
NEED_TYPES = {name for name in NAMES if "vmlinux.h" in (rejected.PROGRAMS / f"{name}.bpf.c").read_text()}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NEED_TYPES])
def test_the_mistake_is_told_where_it_is(name: str, tmp_path: Path) -> None:
    path = rejected.PROGRAMS / f"{name}.bpf.c"
    given = tmp_path / path.name
    given.write_text(rejected.plain(path.read_text()))
    found = rejected.refused(given, Toolchain())
    assert found is not None, "this kernel accepts it"
    diagnosis = diagnose(*found)
    assert diagnosis.kind is not None
    assert diagnosis.kind.id in rejected.causes(path)
    told = diagnostic(diagnosis)
    assert told.primary is not None
    assert told.primary.span.line in rejected.marked(path)


def test_what_an_object_quotes_stands_in_for_a_lost_source(tmp_path: Path) -> None:
    source = tmp_path / "packet_counter.bpf.c"
    source.write_text(rejected.plain((rejected.PROGRAMS / "packet_counter.bpf.c").read_text()))
    lines = source.read_text().split("\n")
    (tmp_path / "lost.bpf.o").write_bytes(Toolchain().compile(source))
    source.unlink()
    found = rejected.refused(tmp_path / "lost.bpf.o", Toolchain())
    assert found is not None
    told = diagnostic(diagnose(*found))
    assert told.primary is not None
    assert told.source is not None
    assert told.source.line(told.primary.span.line) == lines[told.primary.span.line - 1]
    assert "rec" in told.help
