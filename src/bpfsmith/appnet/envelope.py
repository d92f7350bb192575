"""The headers in front of a message: what has to stand in them, and where addresses, ports and the message are.

    | Ethernet 14 | IPv4 20, no options | UDP 8            | message
    | Ethernet 14 | IPv6 40             | TCP 20, options  | message

Offsets are bytes from the start of the frame, numbers in network order. Sources: RFC 791, 8200, 768 and 9293.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ETH = 14
"""Bytes of the Ethernet header."""
TRANSPORTS = {"udp": 17, "tcp": 6}
"""IP protocol numbers."""


class Test(NamedTuple):
    """A number in the headers that has to be this, as far as the mask goes (None: all of it)."""

    offset: int
    size: int
    value: int
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """`transport` is "udp" or "tcp", `version` 4 or 6."""

    transport: str = "udp"
    version: int = 4

    @property
    def l4(self) -> int:
        """Where the transport header begins."""
        return ETH + (20 if self.version == 4 else 40)

    @property
    def l4_size(self) -> int:
        """Bytes of the transport header, of a TCP header without its options."""
        return 8 if self.transport == "udp" else 20

    @property
    def payload(self) -> int:
        """Where the message begins, in TCP behind a header without options."""
        return self.l4 + self.l4_size

    @property
    def slides(self) -> bool:
        """Is the place of the message known only from the packet?"""
        return self.transport == "tcp"

    @property
    def checksum(self) -> int:
        return self.l4 + (6 if self.transport == "udp" else 16)

    @property
    def data_offset(self) -> int:
        """The byte whose upper half counts the words of a TCP header."""
        return self.l4 + 12

    @property
    def sequence(self) -> int:
        """The sequence number of a TCP segment: 4 bytes."""
        return self.l4 + 4

    @property
    def length(self) -> tuple[int, int]:
        """Where a length of 16 bits stands, and from where it counts: for UDP its own, for TCP that of the IP packet."""
        if self.transport == "udp":
            return self.l4 + 4, self.l4
        return (16, ETH) if self.version == 4 else (18, ETH + 40)

    @property
    def address_size(self) -> int:
        return 4 if self.version == 4 else 16

    @property
    def addresses(self) -> tuple[int, int]:
        """Where the source and the destination address are."""
        return (26, 30) if self.version == 4 else (22, 38)

    def port(self, body: str) -> int:
        """Where the port of the server stands in a packet of "req" or "resp"."""
        return self.l4 + (2 if body == "req" else 0)

    def client(self, body: str) -> tuple[int, int]:
        """Where the client's address and its port are in a packet of "req" or "resp"."""
        source, destination = self.addresses
        return (source, self.l4) if body == "req" else (destination, self.l4 + 2)

    def tests(self, body: str, port: int) -> tuple[Test, ...]:
        """What stands in the headers of a message of `body`."""
        number = TRANSPORTS[self.transport]
        which = Test(self.port(body), 2, port)
        if self.version == 4:
            # The version with a header of 5 words; no fragment, neither the first nor a later one.
            return (Test(12, 2, 0x0800), Test(14, 1, 0x45), Test(20, 2, 0, 0x3FFF), Test(23, 1, number), which)
        return (Test(12, 2, 0x86DD), Test(14, 1, 0x60, 0xF0), Test(20, 1, number), which)

    def swapped(self) -> tuple[tuple[int, int, int], ...]:
        """What a reply turns round: (offset, other offset, bytes) of the MAC addresses, the IP addresses and the ports."""
        return ((0, 6, 6), (*self.addresses, self.address_size), (self.l4, self.l4 + 2, 2))

    @property
    def words(self) -> str:
        """The headers as a report names them."""
        return "IPv4 without options or fragments" if self.version == 4 else "IPv6 without extension headers"
