"""A directory with the inputs of `sources` as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import sources


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Holds drop.appnet and C candidates for it, and is the directory that the command runs in."""
    files = {
        "drop.appnet": sources.DROP,
        "same.bpf.c": sources.SAME,
        "double.bpf.c": sources.TWO_AT_ONCE,
        "plain.bpf.c": sources.PLAIN,
        "rejected.bpf.c": sources.REJECTED,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path
