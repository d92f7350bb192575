"""Packets: built with the right lengths and checksums, taken apart again, and shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfsmith.packet import decode as decode_module
from bpfsmith.packet.build import Route, echo_request, internet_checksum, tcp_packet, udp_packet
from bpfsmith.packet.decode import decode, hexdump
from bpfsmith.packet.layout import ETHERNET, IPV4, IPV6, TCP, UDP, Header

V6 = Route(saddr="2001:db8::1", daddr="2001:db8::2")
PACKETS = {
    "udp": udp_packet(b"ping"),
    "udp odd": udp_packet(b"pingx", 1, 65535),
    "tcp": tcp_packet(b"hello", flags="syn"),
    "udp6": udp_packet(b"ping", route=V6),
    "tcp6": tcp_packet(b"", route=V6),
    "vlan": udp_packet(b"ping", route=Route(vlan=7)),
    "echo": echo_request(b"abc"),
    "echo6": echo_request(b"abc", route=V6),
}
PORTS = st.integers(0, 65535)


def test_the_checksum_of_the_example_in_rfc_1071() -> None:
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


def test_the_checksum_of_a_known_ipv4_header() -> None:
    # A much published example: 192.168.0.1 to 192.168.0.199, UDP, 115 bytes.
    header = bytes.fromhex("4500 0073 0000 4000 4011 0000 c0a8 0001 c0a8 00c7")
    assert internet_checksum(header) == 0xB861
    assert internet_checksum(header[:10] + b"\xb8\x61" + header[12:]) == 0


def test_a_known_udp_datagram() -> None:
    # Both sums were added up by hand: 0x24935 folds to 0x4937, 0x312c4 to 0x12c7.
    ip, udp = "45 00 00 20 00 01 40 00 40 11 b6 c8 c0 00 02 01 c0 00 02 02", "9c 40 13 88 00 0c ed 38 70 69 6e 67"
    assert udp_packet(b"ping", 40000, 5000)[14:] == bytes.fromhex(ip + udp)


def pseudo_header(ip: bytes, protocol: int, segment: bytes) -> bytes:
    addresses = ip[12:20] if ip[0] >> 4 == 4 else ip[8:40]
    return addresses + len(segment).to_bytes(4, "big") + protocol.to_bytes(4, "big") + segment


@pytest.mark.parametrize("name", PACKETS)
def test_a_receiver_finds_every_checksum_and_length_right(name: str) -> None:
    packet = PACKETS[name]
    layers = {layer.name: layer for layer in decode(packet)}
    ip = layers.get("IPv4") or layers["IPv6"]
    segment = packet[ip.offset + ip.size :]
    if ip.header is IPV4:
        assert internet_checksum(packet[ip.offset : ip.offset + 20]) == 0
        assert ip.values["tot_len"] == len(packet) - ip.offset
    else:
        assert ip.values["payload_len"] == len(segment)
    protocol = ip.values.get("protocol", ip.values.get("nexthdr", 0))
    assert internet_checksum(segment if protocol == 1 else pseudo_header(packet[ip.offset :], protocol, segment)) == 0
    if "UDP" in layers:
        assert layers["UDP"].values["len"] == len(segment)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("udp", "Ethernet IPv4 UDP payload"),
        ("tcp6", "Ethernet IPv6 TCP"),
        ("vlan", "Ethernet VLAN IPv4 UDP payload"),
        ("echo", "Ethernet IPv4 ICMP payload"),
        ("echo6", "Ethernet IPv6 ICMPv6 payload"),
    ],
)
def test_layers(name: str, layers: str) -> None:
    assert " ".join(layer.name for layer in decode(PACKETS[name])) == layers


@given(st.binary(max_size=64), PORTS, PORTS)
def test_what_was_built_is_read_back(payload: bytes, sport: int, dport: int) -> None:
    for packet, header in ((udp_packet(payload, sport, dport), UDP), (tcp_packet(payload, sport, dport), TCP)):
        layer = next(layer for layer in decode(packet) if layer.header is header)
        assert (layer.values["source"], layer.values["dest"]) == (sport, dport)
        assert packet[layer.offset + layer.size :] == payload


@given(st.binary(max_size=120))
def test_the_layers_of_any_bytes_cover_them_without_gaps(packet: bytes) -> None:
    at = 0
    for layer in decode(packet):
        assert layer.offset == at
        at += layer.size
    assert at == len(packet)
    hexdump(packet)


@given(st.sampled_from(sorted(PACKETS)), st.integers(0, 60))
def test_a_packet_cut_short_decodes_as_far_as_it_goes(name: str, length: int) -> None:
    whole, cut = decode(PACKETS[name]), decode(PACKETS[name][:length])
    headers = [layer.name for layer in cut if layer.header]
    assert headers == [layer.name for layer in whole if layer.header][: len(headers)]


@pytest.mark.parametrize("header", [ETHERNET, IPV4, IPV6, UDP, TCP], ids=lambda header: header.name)
def test_reading_undoes_writing(header: Header) -> None:
    values = {field.name: (0xA5A5 >> at) & (1 << field.bits) - 1 for at, field in enumerate(header.fields)}
    assert header.read(header.write(**values)) == values


def test_a_header_that_lies_about_its_length_is_payload() -> None:
    packet = bytearray(PACKETS["udp"])
    packet[14] = 0x44  # ihl 4
    assert decode(bytes(packet))[-1].note == "no IPv4: its header says it has 16 bytes"


def test_the_hex_dump_is_the_one_in_the_manual() -> None:
    manual = [line.strip() for line in (decode_module.__doc__ or "").splitlines() if line.startswith("    00")]
    assert hexdump(udp_packet(b"ping")).splitlines() == manual


def test_the_hex_dump_marks_what_is_other_than_before() -> None:
    before = udp_packet(b"ping")
    after = bytearray(before + b"!")
    after[0], after[0x2B] = 0xFF, ord("o")
    lines = hexdump(bytes(after), before).splitlines()
    marked = [(lines[at - 1][:4], line) for at, line in enumerate(lines) if "^" in line]
    assert marked == [("0000", "      ^^"), ("002a", "         ^^       ^^")]
    assert hexdump(before, before) == hexdump(before)


@pytest.mark.parametrize("route", [Route(saddr="::1"), Route(ttl=256), Route(vlan=4096)])
def test_what_fits_no_packet_is_refused(route: Route) -> None:
    with pytest.raises(ValueError, match=r"fit|one IP version"):
        udp_packet(route=route)
