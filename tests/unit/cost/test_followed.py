"""The path of one run: the instructions of the interpreter, and what they are about."""

from __future__ import annotations

from random import Random

from bpfsmith.cost.followed import followed, run_input
from bpfsmith.cost.model import Model
from bpfsmith.cost.path_state import Path
from bpfsmith.cost.predict import predict
from bpfsmith.cost.profile import load_profile
from bpfsmith.cost.steps import Call
from bpfsmith.execution import MapContents, RunInput
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.packet.build import udp_packet
from tests.support.random_programs import STEPS
from tests.support.random_programs import program as random_program
from tests.support.random_programs import run_input as random_input
from tests.unit.cost.test_paths import executed, interpreted

KINDS = tuple(STEPS)
KEY = (7).to_bytes(4, "little")


def gone(subject: Program, given: RunInput) -> Path:
    path = followed(subject, given)
    assert path is not None
    return path


def test_it_is_the_interpreters_way() -> None:
    """Whatever a random program is run on, the steps are the instructions that the run takes."""
    for seed in range(30):
        draw = Random(seed)
        subject = random_program([(draw.choice(KINDS), draw.randrange(1 << 30)) for _ in range(10)])
        given = random_input(draw)
        assert executed(gone(subject, given)) == interpreted(subject, given), seed


def calls(verb: str, maps: dict[str, MapContents]) -> list[Call]:
    words = "r1 = 7\n*(u32 *)(r10 -4) = r1\nr2 = r10\nr2 += -4\nr1 = table ll"
    text = f".map table hash key=4 value=8 max=4\n.section xdp\n{words}\ncall bpf_map_{verb}_elem\nr0 = 1\nexit\n"
    path = gone(assemble(text, "test.s")[0], RunInput(udp_packet(b"x"), {}, maps))
    return [step.call for step in path.steps if step.call is not None]


def test_calls_know_what_they_found() -> None:
    """A lookup or a delete of a key says whether it was there, and whether anything was."""
    for verb in ("lookup", "delete"):
        assert [(call.found, call.empty) for call in calls(verb, {"table": {KEY: bytes(8)}})] == [(True, False)]
        assert [(call.found, call.empty) for call in calls(verb, {"table": {bytes(4): bytes(8)}})] == [(False, False)]
        assert [(call.found, call.empty) for call in calls(verb, {})] == [(False, True)]


LIMITER = """
.section xdp
call bpf_get_prandom_u32
if w0 > 100 goto pass
r0 = 1
exit
pass: r0 = 2
exit
"""


def test_random_numbers_are_not_rare_ones() -> None:
    """A draw is as often rare as it is in life: a program that drops one packet in forty million passes this one."""
    (subject,) = assemble(LIMITER, "test.s")
    assert gone(subject, run_input(subject, udp_packet(b"x"), {})).result == 2


COUNTED = """
.map seen hash key=4 value=8 max=4
.section xdp
r1 = 7
*(u32 *)(r10 -4) = r1
r2 = r10
r2 += -4
r1 = seen ll
call bpf_map_lookup_elem
if r0 == 0 goto none
r0 = 2
exit
none: r0 = 1
exit
"""


def test_a_packet_and_all_maps_decide_the_likely_path() -> None:
    """With a packet and every map's contents, the first path is the one that a run goes; or else the usual one."""
    (subject,) = assemble(COUNTED, "test.s")
    model = Model(load_profile())
    packet = udp_packet(b"x")
    assert predict(subject, model, packet=packet, maps={"seen": {}}).likely.path.result == 1
    assert predict(subject, model, packet=packet, maps={"seen": {KEY: bytes(8)}}).likely.path.result == 2
    assert {item.path.result for item in predict(subject, model, packet=packet).paths} == {1, 2}


LOOP = """
.section xdp
r1 = TURNS
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


def test_each_turn_of_a_callback_costs_the_same() -> None:
    """Ten turns more cost ten times what one more does."""
    model = Model(load_profile())
    costs = []
    for turns in (1, 2, 12):
        (subject,) = assemble(LOOP.replace("TURNS", str(turns)), "test.s")
        costs.append(model.cost(subject, gone(subject, run_input(subject, udp_packet(b"x"), {})).steps).ns)
    assert costs[1] - costs[0] > 0.5 * model.turn
    assert abs((costs[2] - costs[1]) - 10 * (costs[1] - costs[0])) < 0.2 * (costs[2] - costs[1])
