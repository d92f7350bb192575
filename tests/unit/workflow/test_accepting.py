"""`--kernel` of compile and optimize: the first form that all kernels accept is taken, and it is said which one it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bpfsmith.gate.load import bare_report
from bpfsmith.objfile.object import read_object
from bpfsmith.optimize.admit import Settings
from bpfsmith.report import Outcome
from bpfsmith.workflow import accepting
from bpfsmith.workflow.accepting import compile_for, levels_below, optimize_for
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input
from bpfsmith.workflow.kernels import GuestReports
from bpfsmith.workflow.subjects import Subject

ROOT = Path(__file__).parents[3]
HALF = str(ROOT / "examples" / "mistakes" / "half.bpf.c")
FAULT = str(ROOT / "examples" / "appnet" / "fault.appnet")


class Kernels:
    """Stands for booted kernels: `accepts` decides by the number of insns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, accepts: range) -> None:
        self.accepts, self.boots = accepts, 0
        monkeypatch.setattr(accepting, "on_guests", self.asked)

    def asked(self, subjects: Sequence[Subject], versions: Sequence[str]) -> Iterator[GuestReports]:
        self.boots += 1
        for version in versions:
            bare = [replace(bare_report(item.program), kernel=version) for item in subjects]
            reports = [replace(item, verdict="accepted" if item.insns in self.accepts else "rejected") for item in bare]
            yield GuestReports(version, tuple(reports), tuple(() for _ in subjects))


def insns(data: bytes) -> int:
    (program,) = read_object(data).programs
    return bare_report(program).insns


def test_lower_levels_follow_in_order() -> None:
    assert levels_below("v3") == ("v2", "v1")
    assert levels_below("v1") == ()


def test_what_all_accept_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = Kernels(monkeypatch, range(1000))
    done, judgement = optimize_for(("6.1", "6.12"), HALF, Toolchain(), Settings(timed=False), lambda text: None)
    assert judgement.accepted
    assert (judgement.remark, kernels.boots) == ("", 1)
    assert [item.before.name for item in done.programs if item.steps] == ["half"], "and that is the optimized form"


def test_c_is_compiled_for_less_where_a_kernel_wants_that(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {cpu: insns(Toolchain(cpu=cpu).compile(Path(HALF))) for cpu in ("v3", "v2")}
    assert plain["v2"] > plain["v3"]
    Kernels(monkeypatch, range(plain["v2"], 1000))
    done, judgement = optimize_for(("5.10",), HALF, Toolchain(), Settings(timed=False), lambda text: None)
    assert judgement.accepted
    assert insns(done.data) == plain["v2"]
    assert "-mcpu=v2" in judgement.remark


def test_what_no_form_satisfies_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Kernels(monkeypatch, range(0))
    opened = open_input(FAULT, Toolchain())
    assert isinstance(opened, AppnetInput)
    compiled, judgement = compile_for(("5.10",), opened, Toolchain(), timed=False)
    assert not judgement.accepted
    assert compiled.outcome is Outcome.REJECTED
