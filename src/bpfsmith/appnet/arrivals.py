"""What a message says, as terms over the bytes of its packet: the meaning of a binding, which generated code is held to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.binding import ETH, IP, PAYLOAD, UDP, VARINT_BYTES, Binding, Field, placed
from bpfsmith.appnet.shapes import size_of
from bpfsmith.semantics.memory import Bytes, joined
from bpfsmith.semantics.recorded import untouched_packet
from bpfsmith.semantics.terms import Term, Terms

CHECKSUM = 40
"""Where the UDP checksum lies."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet as a message. `ours` says whether it is one of the binding; `readable` whether all fields that are needed are
    there. `fields` holds their values by name, and under "" the size of the message; `places` where they begin (64 bits)."""

    ours: Term
    readable: Term
    fields: Mapping[str, Term]
    places: Mapping[str, Term]
    packet: Bytes


def read_terms(t: Terms, binding: Binding, body: str, statements: Iterable[core.Stmt]) -> Arrival:
    """The message that a packet is for `body`, as `binding.read_message` reads it."""
    statements = tuple(statements)
    view = untouched_packet(t)
    ((_, packet, _),) = view.parts
    reader = _Reader(t, packet)
    wanted = facts.fields_read(statements) | facts.fields_set(statements)
    answers = body == "req" and facts.answers(statements) and binding.reply is not None
    needed = placed(binding.needed(body, wanted | (binding.replied() if answers else frozenset())))
    port = ETH + IP + (2 if body == "req" else 0)
    ours = t.all_of(
        t.negate(t.ult(64, view.length, t.const(64, PAYLOAD))),
        t.eq(16, reader.number(12, 2), t.const(16, 0x0800)),
        t.eq(8, reader.number(14, 1), t.const(8, 0x45)),
        t.eq(8, reader.number(23, 1), t.const(8, 17)),
        t.eq(16, t.and_(16, reader.number(20, 2), t.const(16, 0x3FFF)), t.const(16, 0)),
        t.eq(16, reader.number(port, 2), t.const(16, binding.port)),
    )
    if not facts.needs_message(statements) and not (answers and binding.reply):
        return Arrival(ours, t.true, {}, {}, packet)
    length = t.zext(reader.number(38, 2), 16, 64)
    end = t.add(64, length, t.const(64, ETH + IP))
    reader.end = end
    reader.require(t.negate(t.ult(64, length, t.const(64, UDP + needed.fixed_size))))
    reader.require(t.negate(t.ult(64, view.length, end)))
    reader.fields[""] = t.extract(t.sub(64, length, t.const(64, UDP)), 64, 31, 0)
    at = t.const(64, PAYLOAD)
    for item, offset in needed.fixed:
        reader.field(item, t.const(64, PAYLOAD + offset), item.name in wanted)
    at = t.const(64, PAYLOAD + needed.fixed_size)
    for item in needed.varying:
        at = reader.field(item, at, item.name in wanted)
    return Arrival(ours, t.all_of(*reader.conditions), reader.fields, reader.places, packet)


@dataclass(slots=True)
class _Reader:
    t: Terms
    packet: Bytes
    end: Term | None = None  # where the message ends in the packet
    conditions: list[Term] = field(default_factory=list)
    fields: dict[str, Term] = field(default_factory=dict)
    places: dict[str, Term] = field(default_factory=dict)

    def require(self, condition: Term) -> None:
        self.conditions.append(condition)

    def bytes(self, at: Term, size: int) -> list[Term]:
        out = []
        for index in range(size):
            byte = self.packet.load(self.t, self.t.add(64, at, self.t.const(64, index)), 1)
            assert isinstance(byte, Term)
            out.append(byte)
        return out

    def number(self, at: int | Term, size: int, little: bool = False) -> Term:
        raw = self.bytes(self.t.const(64, at) if isinstance(at, int) else at, size)
        return joined(self.t, raw if little else raw[::-1])

    def inside(self, end: Term) -> None:
        assert self.end is not None
        self.require(self.t.negate(self.t.ult(64, self.end, end)))

    def field(self, item: Field, at: Term, wanted: bool) -> Term:
        """Reads one field; where the next one begins."""
        t = self.t
        self.places[item.name] = at
        match item.kind:
            case "number" | "bytes" | "skip":
                end = t.add(64, at, t.const(64, item.size))
                self.inside(end)
                if wanted:
                    self.fields[item.name] = self._fixed(item, at)
                return end
            case "varint":
                return self._varint(item, at, wanted)
            case _:
                return self._text(item, at, wanted)

    def _fixed(self, item: Field, at: Term) -> Term:
        t = self.t
        if item.kind == "bytes":
            return self._in_memory(item, t.const(8, item.size), self.bytes(at, item.size))
        value = self.number(at, item.size, item.little)
        extend = t.sext if item.signed else t.zext
        return extend(value, 8 * item.size, 32)

    def _in_memory(self, item: Field, length: Term, text: list[Term]) -> Term:
        padding = [self.t.const(8, 0)] * (size_of(item.type) - 1 - len(text))
        return joined(self.t, [length, *text, *padding])

    def _text(self, item: Field, at: Term, wanted: bool) -> Term:
        t = self.t
        begin = t.add(64, at, t.const(64, item.prefix))
        self.inside(begin)
        size = t.zext(self.number(at, item.prefix), 8 * item.prefix, 64)
        end = t.add(64, begin, size)
        self.inside(end)
        if wanted:
            self.require(t.negate(t.ult(64, t.const(64, item.size), size)))
            text = [
                t.ite(8, t.ult(64, t.const(64, index), size), byte, t.const(8, 0))
                for index, byte in enumerate(self.bytes(begin, item.size))
            ]
            self.fields[item.name] = self._in_memory(item, t.extract(size, 64, 7, 0), text)
        return end

    def _varint(self, item: Field, at: Term, wanted: bool) -> Term:
        """Seven bits a byte, the lowest first; the byte without the top bit is the last."""
        t = self.t
        value, end, going = t.const(64, 0), at, t.true
        for index in range(VARINT_BYTES):
            here = t.add(64, at, t.const(64, index))
            after = t.add(64, here, t.const(64, 1))
            assert self.end is not None
            self.require(t.any_of(t.negate(going), t.negate(t.ult(64, self.end, after))))
            (byte,) = self.bytes(here, 1)
            seven = t.shl(64, t.zext(t.and_(8, byte, t.const(8, 0x7F)), 8, 64), t.const(64, 7 * index))
            value = t.ite(64, going, t.or_(64, value, seven), value)
            end = t.ite(64, going, after, end)
            going = t.all_of(going, t.negate(t.ult(8, byte, t.const(8, 0x80))))
        self.require(t.negate(going))
        self.require(t.ult(64, value, t.const(64, 1 << 32)))
        if wanted:
            self.fields[item.name] = t.extract(value, 64, 31, 0)
        return end


SWAPPED = ((0, 6, 6), (26, 30, 4), (34, 36, 2))
"""What a reply turns round: (offset, other offset, bytes) of the MAC addresses, the IP addresses and the ports."""


def replied(t: Terms, packet: Bytes, binding: Binding) -> Bytes:
    """The packet as an error reply: back to its sender, with the binding's fields set. (The IP checksum stays: it is a sum.)"""
    before = packet
    for here, there, size in SWAPPED:
        for index in range(size):
            for to, source in ((here, there), (there, here)):
                byte = before.load(t, t.const(64, source + index), 1)
                packet = packet.store(t, t.const(64, to + index), 1, byte)
    packet = packet.store(t, t.const(64, CHECKSUM), 2, t.const(16, 0))
    offsets = {item.name: (item, offset) for item, offset in placed(binding.fields["req"]).fixed}
    for name, number in binding.reply or ():
        item, offset = offsets[name]
        packet = write_field(t, packet, item, t.const(64, PAYLOAD + offset), t.const(32, number))
    return packet


def write_field(t: Terms, packet: Bytes, item: Field, at: Term, value: Term) -> Bytes:
    """The packet with a field rewritten, and without a UDP checksum."""
    if item.kind == "bytes":
        raw = [t.extract(value, value.width, 8 * index + 15, 8 * index + 8) for index in range(item.size)]
    else:
        raw = [t.extract(value, 32, 8 * index + 7, 8 * index) for index in range(item.size)]
        raw = raw if item.little else raw[::-1]
    for index, byte in enumerate(raw):
        packet = packet.store(t, t.add(64, at, t.const(64, index)), 1, byte)
    return packet.store(t, t.const(64, CHECKSUM), 2, t.const(16, 0))
