"""A packet taken apart into its headers, and a hex dump that says what the bytes are.

    0000  02 00 00 00 00 02 02 00 00 00 00 01 08 00        Ethernet  02:00:00:00:00:01 > 02:00:00:00:00:02, h_proto 0x0800
    000e  45 00 00 20 00 01 40 00 40 11 b6 c8 c0 00 02 01  IPv4  192.0.2.1 > 192.0.2.2, ttl 64, protocol 17, tot_len 32
    001e  c0 00 02 02
    0022  9c 40 13 88 00 0c ed 38                          UDP  40000 > 5000, len 12
    002a  70 69 6e 67                                      payload  4 bytes `ping`

Any bytes are a packet: what is cut short or makes no sense is payload, with a word on why.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from bpfsmith.packet.layout import (
    BY_ETHER_TYPE,
    BY_PROTOCOL,
    ETHERNET,
    ICMP,
    ICMPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPV4,
    IPV6,
    TCP,
    UDP,
    VLAN,
    Header,
)

_BYTES_A_LINE = 16


@dataclass(frozen=True, slots=True)
class Layer:
    """A header with its options, or what lies behind the last header (`header` None).

    `offset` and `size` are bytes of the packet, `values` the header's fields in host order.
    """

    header: Header | None
    offset: int
    size: int
    values: Mapping[str, int] = field(default_factory=dict)
    note: str = ""  # why no header was found here

    @property
    def name(self) -> str:
        return self.header.name if self.header else "payload"


def decode(packet: bytes) -> tuple[Layer, ...]:
    """The layers of an Ethernet frame from the outside in; their sizes add up to the packet's."""
    layers: list[Layer] = []
    at = 0
    header: Header | None = ETHERNET
    note = ""
    while header is not None:
        if len(packet) - at < header.size:
            note = f"too short for {header.name}"
            break
        values = header.read(packet[at:])
        size = _size(header, values)
        if size < header.size or at + size > len(packet):
            note = f"no {header.name}: its header says it has {size} bytes"
            break
        layers.append(Layer(header, at, size, values))
        at += size
        header, note = _next(header, values)
    if at < len(packet):
        layers.append(Layer(None, at, len(packet) - at, note=note))
    return tuple(layers)


def _size(header: Header, values: Mapping[str, int]) -> int:
    """The header's bytes with its options."""
    if header is IPV4:
        return values["ihl"] * 4
    return values["doff"] * 4 if header is TCP else header.size


def _next(header: Header, values: Mapping[str, int]) -> tuple[Header | None, str]:
    """The header that follows, or None and why nobody knows."""
    if header in (ETHERNET, VLAN):
        following = BY_ETHER_TYPE.get(values["h_proto"])
        return following, "" if following else f"h_proto {values['h_proto']:#06x}"
    if header in (UDP, TCP, ICMP, ICMPV6):
        return None, ""
    if header is IPV4 and values["frag_off"]:
        return None, "a later fragment"
    protocol = values["protocol" if header is IPV4 else "nexthdr"]
    following = BY_PROTOCOL.get(protocol)
    if (header is IPV4 and protocol == IPPROTO_ICMPV6) or (header is IPV6 and protocol == IPPROTO_ICMP):
        following = None
    return following, "" if following else f"protocol {protocol}"


def hexdump(packet: bytes, before: bytes | None = None) -> str:
    """The packet's bytes in hex, a block of lines for each layer with what the layer says beside it; ends without newline.

    With `before`, carets stand under the bytes that are other than there, or were not there.
    """
    lines = []
    for layer in decode(packet):
        text = f"{layer.name}  {describe(layer, packet)}"
        for at in range(layer.offset, layer.offset + layer.size, _BYTES_A_LINE):
            end = min(at + _BYTES_A_LINE, layer.offset + layer.size)
            lines.append(f"{at:04x}  {packet[at:end].hex(' '):<{3 * _BYTES_A_LINE - 1}}  {text}".rstrip())
            if before is not None and packet[at:end] != before[at:end]:
                marks = ("^^" if packet[i : i + 1] != before[i : i + 1] else "  " for i in range(at, end))
                lines.append(f"{'':6}{' '.join(marks)}".rstrip())
            text = ""
    return "\n".join(lines)


def describe(layer: Layer, packet: bytes) -> str:
    values = layer.values
    if layer.header is None:
        text = packet[layer.offset : layer.offset + layer.size]
        shown = f" `{text[:32].decode('ascii')}`" if text.isascii() and text[:32].decode("ascii").isprintable() else ""
        return f"{layer.size} bytes{shown}" + (f" ({layer.note})" if layer.note else "")
    if layer.header is ETHERNET:
        return f"{_mac(values['h_source'])} > {_mac(values['h_dest'])}, h_proto {values['h_proto']:#06x}"
    if layer.header is IPV4:
        saddr, daddr = ipaddress.IPv4Address(values["saddr"]), ipaddress.IPv4Address(values["daddr"])
        return f"{saddr} > {daddr}, ttl {values['ttl']}, protocol {values['protocol']}, tot_len {values['tot_len']}"
    if layer.header is IPV6:
        saddr6, daddr6 = ipaddress.IPv6Address(values["saddr"]), ipaddress.IPv6Address(values["daddr"])
        return f"{saddr6} > {daddr6}, nexthdr {values['nexthdr']}, payload_len {values['payload_len']}"
    if layer.header is UDP:
        return f"{values['source']} > {values['dest']}, len {values['len']}"
    if layer.header is TCP:
        flags = " ".join(name for name in ("syn", "fin", "rst", "psh", "ack", "urg", "ece", "cwr") if values[name])
        return f"{values['source']} > {values['dest']}, {flags or 'no flags'}, seq {values['seq']}, ack_seq {values['ack_seq']}"
    return ", ".join(f"{name} {value}" for name, value in values.items() if name != "checksum")


def _mac(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")
