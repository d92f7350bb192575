"""What the passes make of a function is taken as far as it is proved, and no further."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpfsmith.objfile.code import Function
from bpfsmith.optimize import improve
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.improve import Effort
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.pipeline import Stage, optimise
from bpfsmith.optimize.simulate import Simulated, simulate
from tests.unit.optimize.programs import around, graph, program

TEXT = "r1 = 0\n*(u32 *)(r10 -4) = r1\nr2 = *(u32 *)(r10 -4)\nr0 = r2\nexit"
FUNCTION = Function("tried", "xdp", program(TEXT).insns, True)


def wrong(given: Graph, around: Surroundings, ledger: Ledger, trail: list[Stage] | None = None) -> Graph:
    """The passes, and after them a change that is wrong."""
    assert trail is not None
    after = optimise(given, around, ledger, trail)
    first, asked = len(ledger.steps), ledger.asked
    if not ledger.allows("wrong", None, "another result"):
        return after
    changed = after.copy()
    node = changed.blocks[changed.entry].nodes[0]
    changed.blocks[changed.entry].nodes[0] = Node(replace(node.insn, imm=7))
    trail.append(Stage(after, changed, first, len(ledger.steps), asked))
    return changed


def test_a_step_that_is_not_proved_is_left_out_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(improve, "optimise", wrong)
    found = improve.improve(FUNCTION, around())
    assert found.code is not None
    assert found.slots_after == 2
    assert isinstance(simulate(graph(TEXT), Graph.of("tried", found.code.insns), around()), Simulated)
    assert found.refused == ("proof: wrong at tried",)
    assert "wrong" not in {step.rule for step in found.steps}


def test_without_patience_what_was_proved_so_far_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(improve, "optimise", wrong)
    found = improve.improve(FUNCTION, around(), Effort(patience=0))
    assert found.slots_after == 2


def test_after_the_time_limit_no_steps_are_looked_for() -> None:
    found = improve.improve(FUNCTION, around(), Effort(seconds=-1))
    assert found.slots_after == found.slots_before
    assert "time limit" in found.refused[-1]
