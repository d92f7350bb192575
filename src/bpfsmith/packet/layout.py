"""The headers of packets as data: fields by bit offset and width, all in network byte order.

Fields have the names of the kernel's structs (struct ethhdr, iphdr, udphdr, ..) with bitfields one by one. Bit 0 is the most
significant bit of the first byte, as in the drawings of the RFCs:

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------+-------+---------------+-------------------------------+
    |version|  ihl  |      tos      |            tot_len            |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

ETH_P_IP, ETH_P_8021Q, ETH_P_IPV6, ETH_P_8021AD = 0x0800, 0x8100, 0x86DD, 0x88A8  # linux/if_ether.h
IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6 = 1, 6, 17, 58  # linux/in.h, linux/in6.h


@dataclass(frozen=True, slots=True)
class Field:
    """Bits `bit_offset` to `bit_offset + bits` of a header, an unsigned big-endian number."""

    name: str
    bit_offset: int
    bits: int


@dataclass(frozen=True)
class Header:
    """A header without its options; `size` is in bytes."""

    name: str
    fields: tuple[Field, ...]

    @cached_property
    def size(self) -> int:
        return (self.fields[-1].bit_offset + self.fields[-1].bits) // 8

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        return {field.name: field for field in self.fields}

    def read(self, data: bytes) -> dict[str, int]:
        """The fields of the header at the start of `data`; raises ValueError when it is too short."""
        if len(data) < self.size:
            raise ValueError(f"{len(data)} bytes hold no {self.name} header of {self.size}")
        number = int.from_bytes(data[: self.size], "big")
        total = self.size * 8
        return {field.name: number >> total - field.bit_offset - field.bits & (1 << field.bits) - 1 for field in self.fields}

    def write(self, **values: int) -> bytes:
        """The header's bytes; fields that are not named are 0. Raises ValueError for a value that does not fit its field."""
        number = 0
        for name, value in values.items():
            field = self.by_name[name]
            if not 0 <= value < 1 << field.bits:
                raise ValueError(f"{value} does not fit the {field.bits} bits of {self.name} {name}")
            number |= value << self.size * 8 - field.bit_offset - field.bits
        return number.to_bytes(self.size, "big")


def _header(name: str, declarations: str) -> Header:
    """A header from `name:bits` pairs, one behind the other."""
    fields, at = [], 0
    for declaration in declarations.split():
        field_name, _, bits = declaration.partition(":")
        fields.append(Field(field_name, at, int(bits)))
        at += int(bits)
    return Header(name, tuple(fields))


ETHERNET = _header("Ethernet", "h_dest:48 h_source:48 h_proto:16")
VLAN = _header("VLAN", "pcp:3 dei:1 vid:12 h_proto:16")  # IEEE 802.1Q, behind an h_proto of 0x8100
IPV4 = _header(  # RFC 791
    "IPv4",
    "version:4 ihl:4 tos:8 tot_len:16 id:16 evil:1 df:1 mf:1 frag_off:13 ttl:8 protocol:8 check:16 saddr:32 daddr:32",
)
IPV6 = _header("IPv6", "version:4 priority:8 flow_lbl:20 payload_len:16 nexthdr:8 hop_limit:8 saddr:128 daddr:128")  # RFC 8200
UDP = _header("UDP", "source:16 dest:16 len:16 check:16")  # RFC 768
TCP = _header(  # RFC 9293
    "TCP",
    "source:16 dest:16 seq:32 ack_seq:32 doff:4 res1:4 cwr:1 ece:1 urg:1 ack:1 psh:1 rst:1 syn:1 fin:1"
    " window:16 check:16 urg_ptr:16",
)
ICMP = _header("ICMP", "type:8 code:8 checksum:16 id:16 sequence:16")  # RFC 792, the echo form
ICMPV6 = _header("ICMPv6", "type:8 code:8 checksum:16 id:16 sequence:16")  # RFC 4443, the echo form

BY_ETHER_TYPE: Mapping[int, Header] = {ETH_P_IP: IPV4, ETH_P_IPV6: IPV6, ETH_P_8021Q: VLAN, ETH_P_8021AD: VLAN}
BY_PROTOCOL: Mapping[int, Header] = {IPPROTO_ICMP: ICMP, IPPROTO_TCP: TCP, IPPROTO_UDP: UDP, IPPROTO_ICMPV6: ICMPV6}
