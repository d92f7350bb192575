"""Paths without running anything, held against runs of the interpreter."""

from __future__ import annotations

from random import Random

import pytest

from bpfsmith.cost.model import Model
from bpfsmith.cost.path_state import Path
from bpfsmith.cost.paths import paths
from bpfsmith.cost.predict import predict
from bpfsmith.cost.profile import load_profile
from bpfsmith.execution import RunInput
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.semantics import concrete
from bpfsmith.semantics.concrete import Machine
from tests.support.random_programs import STEPS, run_input
from tests.support.random_programs import program as random_program

KINDS = tuple(STEPS)


def program(text: str, section: str = "xdp") -> Program:
    return assemble(f".section {section}\n{text}\n", "test.s")[0]


def executed(path: Path) -> list[tuple[str, int]]:
    return [(step.function, step.insn_idx) for step in path.steps]


def interpreted(subject: Program, given: RunInput) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []

    def observe(machine: Machine) -> None:
        if machine.insn_idx < len(machine.functions[machine.function]):
            seen.append((machine.function, machine.insn_idx))

    concrete.run(subject, given, observe=observe)
    return seen


def test_the_interpreters_way_is_among_the_paths() -> None:
    """Whatever a random program is run on, its paths include the instructions that the run takes, in their order."""
    for seed in range(30):
        draw = Random(seed)
        subject = random_program([(draw.choice(KINDS), draw.randrange(1 << 30)) for _ in range(10)])
        given = run_input(draw)
        found = paths(subject, packet=given.packet, most=1_000)
        assert interpreted(subject, given) in [executed(item) for item in found.paths], seed


def test_a_loop_with_a_constant_bound_is_exact() -> None:
    """Ten turns are ten turns, on one path."""
    found = paths(program("r0 = 0\nr1 = 10\nagain: r0 += 1\nr1 += -1\nif r1 != 0 goto again\nexit"))
    (path,) = found.paths
    assert found.complete
    assert (len(path.steps), path.result, path.notes) == (2 + 3 * 10 + 1, 10, ())


def test_a_loop_without_a_known_bound_ends_and_says_so() -> None:
    """A bound that comes from the packet's length does not keep the walk for ever."""
    found = paths(program("r1 = *(u32 *)(r1 +12)\nr0 = 2\nagain: r1 += -1\nif r1 != 0 goto again\nexit"))
    assert any("bound is not known" in note for item in found.paths for note in item.notes)
    assert len(found.paths) < 20


LENGTHS = """
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 34
    if r4 > r3 goto out
    r4 = r2
    r4 += 14
    if r4 > r3 goto dead
    r0 = 2
    exit
dead: r0 = 0
    exit
out: r0 = 1
    exit
"""


def test_a_length_that_was_checked_is_not_asked_again() -> None:
    """Who has 34 bytes has 14: the second check has one way only."""
    found = paths(program(LENGTHS))
    assert sorted(item.result or 0 for item in found.paths) == [1, 2]


def test_the_likely_path_comes_first() -> None:
    """The packet is long enough on an ordinary day."""
    assert paths(program(LENGTHS)).paths[0].result == 2


@pytest.mark.parametrize(("length", "result"), [(20, 1), (60, 2)])
def test_a_packet_decides(length: int, result: int) -> None:
    """With a packet there is one path, the one that it takes."""
    found = paths(program(LENGTHS), packet=bytes(length))
    assert [item.result for item in found.paths] == [result]


LOOKUP = """
    r1 = 7
    *(u32 *)(r10 -4) = r1
    r2 = r10
    r2 += -4
    r1 = map[known]
    call bpf_map_lookup_elem
    if r0 == 0 goto miss
    r0 = 1
    exit
miss: r0 = 2
    exit
"""


def test_a_lookup_finds_or_does_not() -> None:
    """Both ways are paths, and each call knows on its own path whether the key was there."""
    subject = assemble(f".map known hash key=4 value=8 max=16\n.section xdp\n{LOOKUP}", "test.s")[0]
    found = {item.result: [step.call.found for step in item.steps if step.call] for item in paths(subject).paths}
    assert found == {1: [True], 2: [False]}


def test_map_contents_decide_a_lookup() -> None:
    """A key that is given is found, another is not."""
    subject = assemble(f".map known hash key=4 value=8 max=16\n.section xdp\n{LOOKUP}", "test.s")[0]
    there = {(7).to_bytes(4, "little"): bytes(8)}
    assert [item.result for item in paths(subject, maps={"known": there}).paths] == [1]
    assert [item.result for item in paths(subject, maps={"known": {}}).paths] == [2]


def test_an_index_within_an_array_is_always_there() -> None:
    """Nobody need fear a NULL that cannot be."""
    subject = assemble(f".map known array key=4 value=8 max=16\n.section xdp\n{LOOKUP}", "test.s")[0]
    assert [item.result for item in paths(subject).paths] == [1]


def test_the_same_question_has_the_same_answer() -> None:
    """A field that is compared twice with the same number is not two decisions."""
    text = """
        r2 = *(u32 *)(r1 +12)
        r0 = 0
        if r2 == 5 goto one
        goto two
    one: r0 += 1
    two: if r2 == 5 goto three
        exit
    three: r0 += 2
        exit
    """
    assert sorted(item.result or 0 for item in paths(program(text)).paths) == [0, 3]


def test_subprograms_and_callbacks_are_walked() -> None:
    """A bpf_loop of five turns runs its callback five times."""
    text = """
        .section xdp
        r1 = 5
        r2 = subprog[turn]
        r3 = 0
        r4 = 0
        call bpf_loop
        r0 = 2
        exit
        .function turn
        r0 = 0
        exit
    """
    (path,) = paths(assemble(text, "test.s")[0]).paths
    assert sum(step.function == "turn" for step in path.steps) == 10


def test_what_a_redirecting_helper_returns_is_a_redirect() -> None:
    """Whatever it computes; a program that returns it has dealt with the packet."""
    for section, outcome in (("xdp", "XDP_REDIRECT"), ("tc", "TC_ACT_REDIRECT")):
        found = predict(program("r1 = 1\nr2 = 0\ncall bpf_redirect\nexit", section), Model(load_profile()))
        assert [(item.outcome, item.answers) for item in found.paths] == [(outcome, True)]
    other = predict(program("call bpf_get_prandom_u32\nexit"), Model(load_profile()))
    assert [(item.outcome, item.answers) for item in other.paths] == [("returns what is computed", False)]
