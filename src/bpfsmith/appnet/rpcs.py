"""RPCs of several packets in plain Python: what becomes of one packet after another, as `packets` says it.

The reference interpreter's half: it knows nothing of maps and words, and says what generated code and proof are held to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bpfsmith.appnet.binding import Binding
from bpfsmith.appnet.packets import FORWARDED, OPEN, REFUSED
from bpfsmith.appnet.wire import Message, read_message, value_of_bytes

Key = bytes
"""The client's address and port, zeros, and the id: as the map has it."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """An entry: see `packets`."""

    until: int
    decision: int = OPEN
    seen: int = 0
    parts: bytes = b""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a packet: forwarded or not, whether the body ran for it, and what is remembered behind it."""

    forwarded: bool
    ran: bool
    memory: dict[Key, Remembered]


def arrives(
    binding: Binding,
    body: str,
    packet: bytes,
    names: Iterable[str],
    memory: dict[Key, Remembered],
    clock: Callable[[], int],
    decide: Callable[[Message], bool],
) -> Fate | None:
    """One packet. `clock` (ns) is read where the RPC is looked up; `decide` is the body: does it forward this message? None for
    what is no message. `memory` is left as it is."""
    packets = binding.packets
    assert packets is not None
    names = frozenset(names)
    unreadable = Fate(binding.unreadable == "forward", False, memory)
    header = read_message(binding, body, packet, binding.told_apart)
    if header is None:
        return None
    if isinstance(header, str):
        return unreadable
    key, now = _key(binding, body, packet, header), clock()
    entry = memory.get(key)
    alive = entry is not None and now < entry.until
    if entry is not None and alive and entry.decision != OPEN:
        return Fate(entry.decision == FORWARDED, False, memory)
    index = None
    if packets.number:
        number = header.fields[packets.number]
        assert isinstance(number, int)
        index = number - packets.first
    parts = binding.parts(body, names)
    early = Fate(packets.early == "forward", False, memory)
    if not parts.several:
        if index not in (None, 0):
            return early
        message = read_message(binding, body, packet, names)
        if not isinstance(message, Message):
            return unreadable
        return _decided(memory, key, Remembered(now + packets.life_ns), decide(message))
    assert index is not None
    pieces = parts.of(index)
    if not pieces:
        return early
    begin = binding.envelope.payload + binding.header_size
    end = begin + header.size - binding.header_size
    if end < begin + max(piece.at + piece.size for piece in pieces):
        return unreadable
    before = entry if entry is not None and alive else Remembered(now + packets.life_ns, parts=bytes(parts.size))
    kept = bytearray(before.parts)
    for piece in pieces:
        kept[piece.slot : piece.slot + piece.size] = packet[begin + piece.at : begin + piece.at + piece.size]
    after = replace(before, seen=before.seen | 1 << index, parts=bytes(kept))
    if after.seen & parts.wanted != parts.wanted:
        return Fate(True, False, {**memory, key: after})
    fields = dict(header.fields)
    for name, slot in parts.slots:
        item = binding.field(body, name)
        assert item is not None
        fields[name] = value_of_bytes(item, bytes(kept[slot : slot + item.size]))
    return _decided(memory, key, after, decide(Message(fields, header.size)))


def _decided(memory: dict[Key, Remembered], key: Key, entry: Remembered, forwarded: bool) -> Fate:
    return Fate(forwarded, True, {**memory, key: replace(entry, decision=FORWARDED if forwarded else REFUSED)})


def _key(binding: Binding, body: str, packet: bytes, header: Message) -> Key:
    packets, around = binding.packets, binding.envelope
    assert packets is not None
    address, port = around.client(body)
    client = packet[address : address + around.address_size] + packet[port : port + 2] + bytes(2)
    if around.slides:
        return client + packet[around.sequence : around.sequence + 4]
    id = header.fields[packets.id]
    return client + (id if isinstance(id, bytes) else (id & 0xFFFFFFFF).to_bytes(4, "little"))
