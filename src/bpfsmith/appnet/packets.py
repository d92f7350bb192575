"""RPCs that take several packets: which belong together, which of them decides, and what is remembered of an RPC.

    key    | address of the client | its port u16, zeros u16 | id in the header |
    value  | until u64, ns | decision u32: 0 open, 1 forwarded, 2 refused | seen u32 | parts of fields |

The packet that completes what the body reads decides: the body runs for it, and once. Packets of the same RPC that come later,
or once more, meet the same fate until the memory's `life` is over. Where fields lie in more than one packet (`part` says how
many bytes of the message each but the last has), their bytes are kept until the last of them has come; packets on the way there
are forwarded, and as no receiver has an RPC without all of its packets, refusing the last one refuses the RPC.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

OPEN, FORWARDED, REFUSED = 0, 1, 2
"""What is decided of an RPC."""
UNTIL, DECISION, SEEN, PARTS = 0, 8, 12, 16
"""Where the members of the value are."""
MOST_PACKETS = 32
"""Packets over which the fields of one message may lie: each has a bit of `seen`."""


@dataclass(frozen=True, slots=True)
class Packets:
    """`id` and `number` name fields of the header (`number` is "" where every packet is a first one; `id` is "sequence" for
    TCP). `early` is what happens to a packet whose RPC is not decided and that does not help to."""

    id: str
    number: str = ""
    first: int = 0
    part: int = 0
    life_ns: int = 5_000_000_000
    entries: int = 65536
    early: str = "forward"


class Piece(NamedTuple):
    """Bytes of a field that lie in one packet: which (0 for the first), where behind its header, where among the parts."""

    packet: int
    at: int
    slot: int
    size: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The fields of a body that lie behind the header, cut at the ends of packets. `slots` says where each is kept."""

    pieces: tuple[Piece, ...] = ()
    slots: tuple[tuple[str, int], ...] = ()
    size: int = 0

    @property
    def several(self) -> bool:
        """Does it take more than the first packet?"""
        return any(piece.packet for piece in self.pieces)

    @property
    def wanted(self) -> int:
        """The packets that are needed, one bit each."""
        return sum(1 << number for number in {piece.packet for piece in self.pieces})

    def of(self, packet: int) -> tuple[Piece, ...]:
        return tuple(piece for piece in self.pieces if piece.packet == packet)


def described(key: bytes, value: bytes, size: int) -> str:
    """An entry of the map in words: client, id, and what is decided. `size`: bytes of the address."""
    address, port = ipaddress.ip_address(key[:size]), int.from_bytes(key[size : size + 2], "big")
    id = key[size + 4 :]
    shown = str(int.from_bytes(id, "little")) if len(id) == 4 else id.hex()
    decision, seen = (int.from_bytes(value[at : at + 4], "little") for at in (DECISION, SEEN))
    words = {FORWARDED: "forwarded", REFUSED: "refused"}.get(decision, f"not decided, packets {seen:#x} seen")
    until = int.from_bytes(value[UNTIL : UNTIL + 8], "little")
    return f"{address}:{port} id {shown}: {words}, until {until / 10**9:.3f} s"


def cut(fields: list[tuple[str, int, int]], part: int) -> Parts:
    """Cuts fields (name, offset in the message, bytes) into packets of `part` bytes."""
    pieces: list[Piece] = []
    slots: list[tuple[str, int]] = []
    end = 0
    for name, offset, size in fields:
        align = size if size in (1, 2, 4) else 8
        slot = (end + align - 1) // align * align
        slots.append((name, slot))
        end = slot + size
        at = offset
        while at < offset + size:
            step = min(offset + size - at, part - at % part)
            pieces.append(Piece(at // part, at % part, slot + at - offset, step))
            at += step
    return Parts(tuple(pieces), tuple(slots), (end + 7) // 8 * 8)
