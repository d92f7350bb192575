"""Packet filters: what they mean on packets, that C and meaning are proved equal, and that the proof would see a wrong C."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.diagnostic import InputError
from bpfsmith.execution import RunInput
from bpfsmith.gate.prove import prove_equal
from bpfsmith.objfile.object import read_object
from bpfsmith.packet.build import udp_packet
from bpfsmith.pcap.lower import lower
from bpfsmith.pcap.meaning import meaning
from bpfsmith.pcap.syntax import And, Not, Or, Protocol, parse
from bpfsmith.semantics import concrete
from bpfsmith.semantics.verdict import Different, Equal
from bpfsmith.workflow.frontends import made
from bpfsmith.workflow.inputs import Toolchain

DNS = udp_packet(b"question")  # 192.0.2.1:40000 > 192.0.2.2:5000
FRAGMENT = bytes([*DNS[:20], 0, 9, *DNS[22:]])
OPTIONS = bytes([*DNS[:14], 0x46, *DNS[15:34], 1, 1, 1, 1, *DNS[34:]])


@pytest.mark.parametrize(
    ("text", "packet", "matches"),
    [
        ("udp", DNS, True), ("tcp", DNS, False), ("ip", DNS, True), ("ip6 or arp", DNS, False),
        ("port 5000", DNS, True), ("src port 5000", DNS, False), ("udp dst port 5000", DNS, True),
        ("tcp port 5000", DNS, False),
        ("portrange 4999-5000", DNS, True), ("dst portrange 1-4999", DNS, False),
        ("host 192.0.2.2", DNS, True), ("src host 192.0.2.2", DNS, False), ("dst net 192.0.2.0/24", DNS, True),
        ("net 192.0.3.0/24", DNS, False), ("net 0.0.0.0/0", DNS, True), ("src net 128.0.0.0/1", DNS, True),
        (f"less {len(DNS)}", DNS, True), (f"less {len(DNS) - 1}", DNS, False), (f"greater {len(DNS)}", DNS, True),
        (f"greater {len(DNS) + 1}", DNS, False), ("port 5000", FRAGMENT, False), ("udp", FRAGMENT, True),
        ("port 5000", OPTIONS, True), ("not port 5000", DNS[:36], True), ("not udp and ip or udp", DNS, True),
    ],
)  # fmt: skip
def test_a_filter_matches_what_it_says(text: str, packet: bytes, matches: bool) -> None:
    """Law: the meaning's verdict on a packet is pcap-filter(7)'s."""
    given = RunInput(packet=packet)
    assert concrete.run(meaning(parse(text, "f.filter"), "f"), given).return_value == (2 if matches else 1)


def test_and_binds_like_or() -> None:
    tcp, udp, icmp = Protocol(6), Protocol(17), Protocol(1)
    assert parse("tcp or udp and icmp", "f") == And(Or(tcp, udp), icmp)
    assert parse("tcp || !(udp && not icmp)", "f") == Or(tcp, Not(And(udp, Not(icmp))))


@pytest.mark.parametrize("text", ["arp or src net 10.1.0.0/17", "tcp dst port 443", "not icmp and greater 100"])
def test_c_and_meaning_are_proved_equal_and_a_wrong_c_is_not(text: str) -> None:
    """Law: the bytecode of the C is Equal to the meaning of its filter, and Different from that of its negation."""
    tree = parse(text, "f.filter")
    obj = read_object(Toolchain().compile_generated(lower(tree, "f"), "f.bpf.c"))
    assert isinstance(prove_equal(meaning(tree, "f"), None, obj.programs[0], obj), Equal)
    assert isinstance(prove_equal(meaning(Not(tree), "f"), None, obj.programs[0], obj), Different)


def test_a_filter_becomes_a_proved_object(tmp_path: Path) -> None:
    path = tmp_path / "2-web.filter"
    path.write_text("tcp port 80 # web\n")
    done = made(str(path), Toolchain())
    assert isinstance(done.verdict, Equal)
    assert done.obj.programs[0].name == "f_2_web"


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("tcp dst prot 443", 9, "`prot` is no condition"), ("port 70000", 6, "a number up to 65535"), ("(tcp", 2, "not closed"),
        ("tcp udp", 5, "stands where the filter has ended"), ("host 1.2.3", 6, "no IPv4 address"), ("", 1, "a filter ends"),
        ("net 10.0.0.0", 5, "its length behind a slash"), ("portrange 9-1", 11, "two numbers"),
        ("!" * 60, 1, "nested too deeply"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_place(text: str, column: int, words: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(text, "f.filter")
    (told,) = raised.value.diagnostics
    assert told.id == "pcap-syntax"
    assert words in told.message
    if column > 1:
        assert told.primary is not None
        assert told.primary.span.column == column
