"""Two runs are followed line by line up to where they part."""

from __future__ import annotations

from bpfsmith.execution import RunInput
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.packet.build import udp_packet
from bpfsmith.workflow.parting import parting, parting_lines, trace

BRANCH = """
        r0 = {start}
        if r0 > 5 goto more
        r0 += 1
        exit
more:   r0 = 2
        exit
"""
GIVEN = RunInput(udp_packet(b""))


def assembled(body: str, name: str = "main.s") -> Program:
    return assemble(f".section xdp\n.program main\n{body}", name)[0]


def test_what_both_runs_take_is_told_from_what_one_takes() -> None:
    body = "r1 = *(u32 *)(r1 +12)\nif r1 {} 1 goto out\nr0 = 1\nexit\nout: r0 = 2\nexit"
    found = parting((assembled(body.format("==")), None), (assembled(body.format("!=")), None), GIVEN)
    assert found.common == 1
    assert found.parts
    lines = parting_lines(found)
    assert [line.split()[0] for line in lines] == ["both", "reference", *(line.split()[0] for line in lines[2:])]
    assert any(line.startswith("candidate") for line in lines)


def test_runs_that_go_the_same_way_do_not_part() -> None:
    a, b = assembled(BRANCH.format(start=1)), assembled(BRANCH.format(start=1), "other.s")
    assert not parting((a, None), (b, None), GIVEN).parts


def test_the_programs_own_names_do_not_part_them() -> None:
    a, b = assembled(BRANCH.format(start=9)), assembled(BRANCH.format(start=9))
    found = parting((a, None), (b, None), GIVEN)
    assert found.common == len(found.reference.lines) == 4


def test_a_packet_that_is_not_read_is_not_said_to_be() -> None:
    reads = """
        r2 = *(u32 *)(r1 +0)
        r3 = *(u32 *)(r1 +4)
        r4 = r2
        r4 += 14
        r0 = 1
        if r4 > r3 goto out
        r0 = *(u8 *)(r2 +0)
out:    exit
"""
    assert trace(assembled(reads), None, GIVEN).reads_packet
    assert not trace(assembled(BRANCH.format(start=1)), None, GIVEN).reads_packet


def test_a_run_that_the_interpreter_cannot_end_says_why() -> None:
    found = trace(assembled("r0 = 1\ncall bpf_snprintf_btf\nexit", "x.s"), None, GIVEN)
    assert found.output is None
    assert found.ended
    assert found.lines
