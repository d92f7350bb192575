"""Laws of the optimizer, over random programs with loops, lookups, updates and subprograms."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.graph import Graph
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.pipeline import optimise
from bpfsmith.optimize.simulate import Simulated, simulate
from bpfsmith.optimize.state import TooHard
from bpfsmith.semantics.concrete import run
from tests.support.random_programs import MAPS, STEPS, program, run_input

AROUND = Surroundings(for_section("xdp").context, True, {spec.name: spec for spec in MAPS})
INNER = replace(AROUND, is_program=False, context=())

tried = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=(HealthCheck.too_slow,),
)
seeds = st.integers(0, (1 << 32) - 1)
steps = st.lists(st.tuples(st.sampled_from(sorted(STEPS)), seeds), min_size=1, max_size=8)


def _optimised(insns: tuple[Insn, ...], around: Surroundings) -> tuple[Insn, ...]:
    before = Graph.of("random", insns)
    try:
        after = optimise(before, around, Ledger())
    except TooHard:
        return insns
    return after.code().insns if isinstance(simulate(before, after, around), Simulated) else insns


def _whole(given: Program) -> Program:
    inner = tuple(replace(sub, insns=_optimised(sub.insns, INNER)) for sub in given.subprograms)
    return replace(given, insns=_optimised(given.insns, AROUND), subprograms=inner)


@tried
@given(steps=steps, seed=seeds)
def test_what_is_proved_does_the_same_on_the_interpreter(steps: list[tuple[str, int]], seed: int) -> None:
    before = program(steps)
    after = _whole(before)
    random = Random(seed)
    for _ in range(4):
        inputs = run_input(random)
        assert run(after, inputs) == run(before, inputs)


@tried
@given(steps=steps)
def test_a_program_is_proved_equal_to_itself_unless_it_is_too_hard(steps: list[tuple[str, int]]) -> None:
    graph = Graph.of("random", program(steps).insns)
    proof = simulate(graph, graph.copy(), AROUND)
    assert isinstance(proof, Simulated) or "branches on" not in proof.detail


@tried
@given(steps=steps)
def test_a_graph_is_no_longer_than_the_code_it_was_made_of(steps: list[tuple[str, int]]) -> None:
    insns = program(steps).insns
    graph = Graph.of("random", insns)
    assert graph.slots() <= sum(insn.slots for insn in insns)
    assert Graph.of("random", graph.code().insns).slots() == graph.slots()
