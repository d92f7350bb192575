"""Whole objects through the optimizer: loaded by the kernel, proved, and never worse."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.objfile.object import read_object
from bpfsmith.optimize.admit import Settings, optimize
from bpfsmith.semantics.verdict import Different
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.optimizing import slots
from tests.kernel.conftest import require_bpf

PAIRS = Path(__file__).parents[1] / "corpus" / "pairs"


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["vlan", "xdp_fwd", "tc_mark", "rb"])
def test_a_real_object_comes_back_smaller_proved_and_accepted(name: str) -> None:
    require_bpf()
    data = Toolchain().compile(PAIRS / f"{name}.bpf.c")
    done = optimize(data, name, Settings(timed=False, budget=20))
    assert done.programs
    for item in done.programs:
        before, after = slots(item)
        assert after <= before
        assert item.judged == "accepted"
        assert not isinstance(item.verdict, Different)
    obj = read_object(done.data)
    assert [program.name for program in obj.programs] == [item.before.name for item in done.programs]
    for program in obj.programs:
        with open_maps(program, obj=obj) as maps, load(program, maps) as outcome:
            assert isinstance(outcome, Accepted)


@pytest.mark.kernel
def test_the_objective_is_kept() -> None:
    require_bpf()
    data = Toolchain().compile(PAIRS / "vlan.bpf.c")
    for objective in ("jited", "verifier"):
        done = optimize(data, "vlan", Settings(objective=objective, timed=False, budget=20))
        for item in done.programs:
            assert (item.after.jited_bytes or 0) <= (item.before.jited_bytes or 0) or objective != "jited"
            assert (item.after.processed_insns or 0) <= (item.before.processed_insns or 0) or objective != "verifier"
