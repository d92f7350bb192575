"""Believable packets: Ethernet frames whose lengths and checksums are right.

Addresses may be IPv4 or IPv6, both of a packet of one kind; the defaults are from the ranges for documentation (RFC 5737).
Ports are numbers in host order, as a person writes them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import cache

from bpfsmith.packet.layout import (
    ETH_P_8021Q,
    ETH_P_IP,
    ETH_P_IPV6,
    ETHERNET,
    ICMP,
    ICMPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPV4,
    IPV6,
    TCP,
    UDP,
    VLAN,
    Header,
)


@dataclass(frozen=True, slots=True)
class Route:
    """Who sends to whom: everything below the transport header."""

    saddr: str = "192.0.2.1"
    daddr: str = "192.0.2.2"
    ttl: int = 64
    smac: str = "02:00:00:00:00:01"
    dmac: str = "02:00:00:00:00:02"
    vlan: int | None = None  # the VLAN id of an 802.1Q tag


DEFAULT_ROUTE = Route()


def internet_checksum(data: bytes) -> int:
    """The checksum of RFC 1071 over `data`, padded to 16 bits with a zero byte."""
    # A sum with end-around carry is the remainder by 2**16 - 1, and 2**16 is 1 there: the whole number will do.
    number = int.from_bytes(data + b"\0" * (len(data) % 2), "big")
    return 0xFFFF if not number else (0xFFFF - number % 0xFFFF) % 0xFFFF


def udp_packet(payload: bytes = b"", sport: int = 40000, dport: int = 5000, route: Route = DEFAULT_ROUTE) -> bytes:
    """An Ethernet frame with a UDP datagram. Raises ValueError for a port or payload that does not fit."""
    length = UDP.size + len(payload)
    segment = UDP.write(source=sport, dest=dport, len=length) + payload
    # A sum of 0 is sent as 0xffff, since 0 says "none" (RFC 768).
    check = _transport_checksum(segment, IPPROTO_UDP, route) or 0xFFFF
    return _ip(UDP.write(source=sport, dest=dport, len=length, check=check) + payload, IPPROTO_UDP, route)


def tcp_packet(
    payload: bytes = b"",
    sport: int = 40000,
    dport: int = 5000,
    flags: str = "psh ack",
    seq: int = 1,
    ack_seq: int = 1,
    route: Route = DEFAULT_ROUTE,
) -> bytes:
    """An Ethernet frame with a TCP segment without options; `flags` are names of `layout.TCP` fields ("syn", "fin ack").

    Raises ValueError for a number that does not fit, KeyError for a flag that is none.
    """
    fields = {"source": sport, "dest": dport, "seq": seq, "ack_seq": ack_seq, "doff": TCP.size // 4, "window": 64240}
    fields |= dict.fromkeys(flags.split(), 1)
    check = _transport_checksum(TCP.write(**fields) + payload, IPPROTO_TCP, route)
    return _ip(TCP.write(**fields, check=check) + payload, IPPROTO_TCP, route)


def echo_request(payload: bytes = b"", id: int = 1, sequence: int = 1, route: Route = DEFAULT_ROUTE) -> bytes:
    """An Ethernet frame with an ICMP or ICMPv6 echo request."""
    if _is_ipv6(route):
        body = ICMPV6.write(type=128, id=id, sequence=sequence) + payload
        return _ip(_with_checksum(ICMPV6, body, _transport_checksum(body, IPPROTO_ICMPV6, route)), IPPROTO_ICMPV6, route)
    body = ICMP.write(type=8, id=id, sequence=sequence) + payload
    return _ip(_with_checksum(ICMP, body, internet_checksum(body)), IPPROTO_ICMP, route)


def _with_checksum(header: Header, body: bytes, checksum: int) -> bytes:
    return header.write(**{**header.read(body), "checksum": checksum}) + body[header.size :]


@cache
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


@cache
def _mac(text: str) -> int:
    return int(text.replace(":", ""), 16)


def _is_ipv6(route: Route) -> bool:
    source, destination = _address(route.saddr), _address(route.daddr)
    if source.version != destination.version:
        raise ValueError(f"{route.saddr} and {route.daddr} are not of one IP version")
    return source.version == 6


def _transport_checksum(segment: bytes, protocol: int, route: Route) -> int:
    """The checksum over pseudo-header and segment: RFC 9293 section 3.1, RFC 8200 section 8.1."""
    addresses = _address(route.saddr).packed + _address(route.daddr).packed
    return internet_checksum(addresses + len(segment).to_bytes(4, "big") + protocol.to_bytes(4, "big") + segment)


def _ip(segment: bytes, protocol: int, route: Route) -> bytes:
    saddr, daddr = int(_address(route.saddr)), int(_address(route.daddr))
    if _is_ipv6(route):
        header = IPV6.write(
            version=6, payload_len=len(segment), nexthdr=protocol, hop_limit=route.ttl, saddr=saddr, daddr=daddr
        )
        return _frame(header + segment, ETH_P_IPV6, route)
    fields = {"version": 4, "ihl": 5, "tot_len": IPV4.size + len(segment), "id": 1, "df": 1, "ttl": route.ttl}
    fields |= {"protocol": protocol, "saddr": saddr, "daddr": daddr}
    header = IPV4.write(**fields, check=internet_checksum(IPV4.write(**fields)))
    return _frame(header + segment, ETH_P_IP, route)


def _frame(packet: bytes, ether_type: int, route: Route) -> bytes:
    dmac, smac = _mac(route.dmac), _mac(route.smac)
    if route.vlan is None:
        return ETHERNET.write(h_dest=dmac, h_source=smac, h_proto=ether_type) + packet
    tag = VLAN.write(vid=route.vlan, h_proto=ether_type)
    return ETHERNET.write(h_dest=dmac, h_source=smac, h_proto=ETH_P_8021Q) + tag + packet
