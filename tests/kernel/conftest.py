"""Kernel tests are skipped where bpf(2) does not work, or fail there with BPFSMITH_REQUIRE_KERNEL=1; none leaks a bpf fd."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfsmith.kernel.probe import Unavailable, can_bpf


@pytest.fixture(autouse=True)
def working_bpf() -> None:
    """The capability that every test here rests on."""
    require_bpf()


def require_bpf() -> None:
    """Skips the test where bpf(2) does not work, or fails it where it must."""
    capability = can_bpf()
    if isinstance(capability, Unavailable):
        if os.environ.get("BPFSMITH_REQUIRE_KERNEL") == "1":
            pytest.fail(f"BPFSMITH_REQUIRE_KERNEL=1, but {capability.obstacle}")
        pytest.skip(str(capability.obstacle))


@pytest.fixture(autouse=True)
def no_residue(working_bpf: None) -> Iterator[None]:
    """Law: a test leaves as many open programs, maps and BTFs behind as it found."""
    before = _bpf_descriptors()
    yield
    left = {fd: target for fd, target in _bpf_descriptors().items() if before.get(fd) != target}
    assert not left, f"file descriptors left open: {left}"


def _bpf_descriptors() -> dict[str, str]:
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue  # the descriptor of this very listing
        if target.startswith(("anon_inode:bpf", "anon_inode:btf")):
            found[link.name] = target
    return found
