"""Random inputs tell programs apart that differ on what random bytes would never reach, and say so only of what shows again."""

from __future__ import annotations

import pytest

from bpfsmith.execution import Counterexample, RunInput, RunOutput
from bpfsmith.gate import prove
from bpfsmith.gate.differential import Agreement, differential
from bpfsmith.gate.replay import kernel_replayer, run_in_kernel
from bpfsmith.gate.runs import KernelRuns
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.packet.build import udp_packet
from bpfsmith.semantics.concrete import run
from bpfsmith.semantics.verdict import Different, Unknown
from tests.kernel.conftest import require_bpf

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


def assembled(body: str, section: str = "xdp", maps: str = "") -> Program:
    return assemble(f"{maps}\n.section {section}\n.program main\n{body}", "main.s")[0]


PORT = """
        r0 = 2
        r2 = *(u32 *)(r1 +4)
        r1 = *(u32 *)(r1 +0)
        r3 = r1
        r3 += 42
        if r3 > r2 goto out
        r3 = *(u16 *)(r1 +12)
        if r3 != {ethertype} goto out
        r3 = *(u16 *)(r1 +36)
        if r3 != {port} goto out
        r0 = 1
out:    exit
"""
LOOKUP = """
        r2 = *(u32 *)(r1 +4)
        r1 = *(u32 *)(r1 +0)
        r3 = r1
        r3 += 34
        if r3 > r2 goto out
        r3 = *(u32 *)(r1 +26)
        *(u32 *)(r10 -4) = r3
        r1 = map[hosts]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = *(u32 *)(r0 +0)
        r1 += {step}
        *(u32 *)(r0 +0) = r1
out:    r0 = 2
        exit
"""
HOSTS = ".map hosts {} key=4 value=4 max=64"


def told_apart(first: Program, second: Program) -> Counterexample:
    found = differential(first, None, second, None)
    assert isinstance(found, Counterexample), found
    return found


def test_a_port_is_found() -> None:
    a, b = (assembled(PORT.format(ethertype=8, port=port)) for port in (0x3500, 0x3600))
    found = told_apart(a, b)
    assert found.observable == "return value"
    assert (run(a, found.input).return_value, run(b, found.input).return_value) == (
        found.expected.return_value,
        found.actual.return_value,
    )


@pytest.mark.parametrize("kind", ["hash", "percpu_hash", "lru_hash"])
def test_a_value_behind_a_key_of_the_packet_is_found(kind: str) -> None:
    a, b = (assembled(LOOKUP.format(step=step), maps=HOSTS.format(kind)) for step in (1, 2))
    found = told_apart(a, b)
    assert found.observable == "map hosts"
    assert found.input.maps["hosts"]
    for program, seen in ((a, found.expected), (b, found.actual)):
        again = run_in_kernel(program, None, found.input)
        assert again == seen


def test_a_draw_is_found() -> None:
    body = "call bpf_get_prandom_u32\nif w0 > {} goto out\nr0 = 1\nexit\nout: r0 = 2\nexit"
    found = told_apart(*(assembled(body.format(bound)) for bound in (0x7FFFFFFF, 0x7FFFFFFE)))
    assert found.input.helper_results[0].value == 0x7FFFFFFF


def test_a_mark_of_an_skb_is_found() -> None:
    body = "r0 = 0\nr1 = *(u32 *)(r1 +8)\nif r1 != {} goto out\nr0 = 2\nout: exit"
    found = told_apart(*(assembled(body.format(mark), "tc") for mark in (7, 8)))
    assert found.input.ctx["mark"] in (7, 8)


def test_equal_programs_agree_on_every_run() -> None:
    a, b = assembled(PORT.format(ethertype=8, port=0x3500)), assembled(PORT.format(ethertype=8, port=0x3500))
    agreed = differential(a, None, b, None, runs=500)
    assert isinstance(agreed, Agreement)
    assert agreed.runs == 500


def test_programs_without_a_test_run_are_interpreted() -> None:
    body = "r0 = *(u32 *)(r1 +4)\nr0 ^= {}\nr0 &= 1\nexit"
    a, b = (assembled(body.format(number), "cgroup/sock_create") for number in (1, 2))
    found = differential(a, None, b, None)
    assert isinstance(found, Counterexample)
    assert found.replayed_on == ("interpreter",)


@pytest.mark.parametrize("section", ["xdp", "tc", "cgroup_skb/ingress"])
def test_a_program_sees_the_packet_that_is_given(section: str) -> None:
    data, data_end = (0, 4) if section == "xdp" else (76, 80)
    body = f"""
        r2 = *(u32 *)(r1 +{data_end})
        r1 = *(u32 *)(r1 +{data})
        r0 = 0
        r3 = r1
        r3 += 20
        if r3 > r2 goto out
        r0 = *(u8 *)(r1 +0)
        r0 &= 1
out:    exit
"""
    frame = udp_packet(b"hello")
    packet = frame if section != "cgroup_skb/ingress" else frame[14:]
    packet = bytes([packet[0] | 1]) + packet[1:]
    with KernelRuns(assembled(body, section), None) as runs:
        value, after, _ = runs.step(packet)
    assert (value, after) == (1, packet)


@pytest.mark.parametrize(("port", "verdict"), [(0x3500, Unknown), (0x3600, Different)])
def test_a_check_that_gives_up_says_what_was_run(monkeypatch: pytest.MonkeyPatch, port: int, verdict: type) -> None:
    monkeypatch.setattr(prove, "_proved", lambda *_: Unknown("solver-limit", "too hard"))
    a, b = assembled(PORT.format(ethertype=8, port=0x3500)), assembled(PORT.format(ethertype=8, port=port))
    said = prove.prove_equal(a, None, b, None, random_runs=1000)
    assert isinstance(said, verdict)
    if isinstance(said, Unknown):
        assert [line.partition(" on kernel ")[0] for line in said.evidence] == ["1,000 random inputs"]
    if isinstance(said, Different):
        assert said.counterexample.notes == ("found by running both, not by proof (solver-limit)",)


def test_a_replay_that_shows_no_difference_is_none() -> None:
    body = """
        r0 = 2
        r6 = *(u32 *)(r1 +12)
        r1 = r6
        r2 = 0
        call bpf_redirect
        r0 = 2
        exit
    """
    program = assembled(body)
    given, output = RunInput(udp_packet(b"")), RunOutput(2, udp_packet(b""))
    replay = kernel_replayer(program, None, (program, None))
    assert replay is not None
    assert replay(Counterexample(given, "what bpf_redirect is given", output, output)) is None


def test_what_is_shown_is_as_simple_as_it_may_be() -> None:
    a, b = (assembled(LOOKUP.format(step=step), maps=HOSTS.format("hash")) for step in (1, 2))
    found = told_apart(a, b)
    assert len(found.input.packet) == 64
    assert len(found.input.maps["hosts"]) == 1
    assert found.input.helper_results == ()
