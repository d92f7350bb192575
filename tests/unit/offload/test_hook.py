"""The hook of a kernel half: the cost profile decides, unless the user does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bpfsmith.cost.profile import Profile, load_profile
from bpfsmith.workflow.offload_hook import choose


@dataclass(frozen=True)
class _Value:
    value: float


class _Profile:
    """A profile of which only hooks.echo is known."""

    def __init__(self, **cases: float) -> None:
        self.cases = cases

    def find(self, experiment: str, case: str) -> _Value | None:
        assert experiment == "hooks.echo"
        return _Value(self.cases[case]) if case in self.cases else None


def _profile(**cases: float) -> Profile:
    return _Profile(**cases)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("tcx", "past_tcx", "xdp", "past_xdp", "hook"),
    [
        (2000, 7500, 2400, 8300, "tc"),  # dearer both ways
        (2000, 7500, 1500, 7400, "xdp"),
        (2000, 7500, 1000, 9000, "tc"),  # cheaper replies do not make up for what is handed over
    ],
)
def test_the_hook_is_the_one_with_the_shorter_round_trips(tcx: int, past_tcx: int, xdp: int, past_xdp: int, hook: str) -> None:
    profile = _profile(tcx=tcx, past_tcx=past_tcx, xdp=xdp, past_xdp=past_xdp, socket=7000)
    assert choose("auto", profile).hook == hook
    assert choose("xdp", profile).hook == "xdp"


def test_a_profile_without_round_trips_leaves_tc_and_says_so() -> None:
    found = choose("auto", _profile())
    assert found.hook == "tc"
    assert any("bpfsmith measure" in line for line in found.lines())


def test_the_shipped_profile_gives_a_reason() -> None:
    found = choose("auto", load_profile(None))
    assert any("the least" in line for line in found.lines())
