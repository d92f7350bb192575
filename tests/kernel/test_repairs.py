"""Changes that are suggested for rejected programs are accepted by the verifier, and take nothing away."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.repair.page import EXAMPLES, variant
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.verifying import verify

pytestmark = pytest.mark.kernel

REPAIRED = (
    "packet-unchecked packet-check-too-small packet-check-elsewhere null-unchecked null-arithmetic null-argument "
    "map-value-unbounded map-value-index map-value-negative map-read-only map-type helper-size-unbounded "
    "helper-size-negative helper-size-zero stack-too-large stack-variable-offset stack-out-of-bounds reference-leak "
    "lock-missing-unlock lock-call gpl sleepable return-range"
).split()


@pytest.mark.parametrize("name", REPAIRED)
def test_a_change_is_found_and_accepted(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.bpf.c"
    path.write_text(variant((EXAMPLES / f"{name}.bpf.c").read_text(), fixed=False))
    before = path.read_text()
    report = verify([str(path)], Toolchain(), repair=True)
    assert path.read_text() == before, "the file itself is left alone"
    repairs = report.details["repairs"]
    assert isinstance(repairs, list)
    assert len(repairs) == 1, [item.message for item in report.diagnostics]
    diff = repairs[0]["diff"].splitlines()
    assert any(line.startswith("+") and not line.startswith("+++") for line in diff)
    if name == "null-unchecked":
        changed = apply_diff(before, diff)
        path.write_text(changed)
        assert str(verify([str(path)], Toolchain()).verdict) == "accepted"


def apply_diff(text: str, diff: list[str]) -> str:
    """A unified diff of one hunk, applied by its own words."""
    old = "\n".join(line[1:] for line in diff[3:] if line[:1] in " -")
    new = "\n".join(line[1:] for line in diff[3:] if line[:1] in " +")
    assert old in text
    return text.replace(old, new)
