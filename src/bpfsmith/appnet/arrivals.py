"""What a message says, as terms over the bytes of its packet: the meaning of a binding, which generated code is held to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.binding import VARINT_BYTES, Binding, Field
from bpfsmith.appnet.protobuf import varint
from bpfsmith.appnet.shapes import size_of
from bpfsmith.semantics.memory import Bytes, joined
from bpfsmith.semantics.recorded import untouched_packet
from bpfsmith.semantics.terms import Term, Terms


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet as a message. `ours` says whether it is one of the binding; `opened` whether it has its header, `readable`
    whether all fields that are needed are there. `fields` holds their values by name, and under "" the size of the message;
    `places` where they begin (64 bits), and under "" where the message does; `end` where it ends."""

    ours: Term
    opened: Term
    readable: Term
    fields: Mapping[str, Term]
    places: Mapping[str, Term]
    packet: Bytes
    end: Term


def read_terms(t: Terms, binding: Binding, body: str, statements: Iterable[core.Stmt], whole: bool = False) -> Arrival:
    """The message that a packet is for `body`, as `binding.read_message` reads it. `whole`: the packet goes on behind its
    linear part, and is read there too."""
    statements = tuple(statements)
    around = binding.envelope
    view = untouched_packet(t)
    ((_, packet, _),) = view.parts
    reader = _Reader(t, packet)
    wanted = facts.fields_read(statements) | facts.fields_set(statements)
    answers = body == "req" and facts.answers(statements) and binding.reply is not None
    fields = binding.needed(body, wanted | (binding.replied() if answers else frozenset()))
    parts = binding.parts(body, wanted)
    if parts.several:
        fields = fields[: binding.header]
    needed = binding.placed(fields)
    linear = [t.negate(t.ult(64, view.length, t.const(64, around.payload)))]
    tests = []
    for test in around.tests(body, binding.port):
        found, bits = reader.number(test.offset, test.size), 8 * test.size
        masked = found if test.mask is None else t.and_(bits, found, t.const(bits, test.mask))
        tests.append(t.eq(bits, masked, t.const(bits, test.value)))
    length_at, counts_from = around.length
    length = t.zext(reader.number(length_at, 2), 16, 64)
    end = t.add(64, length, t.const(64, counts_from))
    begin = t.const(64, around.payload)
    if around.slides:
        words = t.and_(8, t.lshr(8, reader.number(around.data_offset, 1), t.const(8, 4)), t.const(8, 0xF))
        begin = t.add(64, t.const(64, around.l4), t.shl(64, t.zext(words, 8, 64), t.const(64, 2)))
        least = t.negate(t.ult(64, begin, t.const(64, around.payload)))
        tests += [least, t.ult(64, begin, end)]
    ours = t.all_of(*linear, *tests)
    if not facts.needs_message(statements) and not (answers and binding.reply) and binding.packets is None:
        return Arrival(ours, t.true, t.true, {}, {}, packet, end)
    reader.end = end
    length_of_packet = t.add(64, view.length, t.zext(t.app("packet_beyond", 24), 24, 64)) if whole else view.length
    header = binding.header_size
    reader.require(t.negate(t.ult(64, end, t.add(64, begin, t.const(64, header)))))
    reader.require(t.negate(t.ult(64, length_of_packet, end)))
    told_apart = {*binding.told_apart, *wanted}
    for item, offset in needed.fixed[: binding.header]:
        reader.field(item, t.const(64, around.payload + offset), item.name in told_apart)
    opened = t.all_of(*reader.conditions)
    reader.require(t.negate(t.ult(64, end, t.add(64, begin, t.const(64, needed.fixed_size)))))
    reader.fields[""] = t.extract(t.sub(64, end, begin), 64, 31, 0)
    for item, offset in needed.fixed[binding.header :]:
        reader.field(item, t.const(64, around.payload + offset), item.name in wanted)
    at = t.add(64, begin, t.const(64, needed.fixed_size))
    for item in needed.varying:
        at = reader.field(item, at, item.name in wanted)
    return Arrival(ours, opened, t.all_of(*reader.conditions), reader.fields, {**reader.places, "": begin}, packet, end)


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
            case "record":
                return self._record(item, at, wanted)
            case _:
                return self._text(item, at, wanted)

    def _fixed(self, item: Field, at: Term) -> Term:
        return from_bytes(self.t, item, self.bytes(at, item.size))

    def _text(self, item: Field, at: Term, wanted: bool) -> Term:
        t = self.t
        if item.prefix:
            begin = t.add(64, at, t.const(64, item.prefix))
            self.inside(begin)
            size = t.zext(self.number(at, item.prefix), 8 * item.prefix, 64)
        else:
            size, begin = self._short_varint(at)
        end = t.add(64, begin, size)
        self.inside(end)
        if wanted:
            self.require(t.negate(t.ult(64, t.const(64, item.size), size)))
            text = [
                t.ite(8, t.ult(64, t.const(64, index), size), byte, t.const(8, 0))
                for index, byte in enumerate(self.bytes(begin, item.size))
            ]
            self.fields[item.name] = _in_memory(t, item, t.extract(size, 64, 7, 0), text)
        return end

    def _short_varint(self, at: Term) -> tuple[Term, Term]:
        """A varint of at most two bytes, and where it ends."""
        t = self.t
        first, second = self.bytes(at, 2)
        one, two = (t.add(64, at, t.const(64, size)) for size in (1, 2))
        self.inside(one)
        short = t.ult(8, first, t.const(8, 0x80))
        assert self.end is not None
        there = t.all_of(t.negate(t.ult(64, self.end, two)), t.ult(8, second, t.const(8, 0x80)))
        self.require(t.any_of(short, there))
        return t.ite(64, short, t.zext(first, 8, 64), self._fourteen(first, second, 64)), t.ite(64, short, one, two)

    def _fourteen(self, first: Term, second: Term, width: int) -> Term:
        """Seven bits of a byte, and those of the next above them."""
        t = self.t
        low = t.zext(t.and_(8, first, t.const(8, 0x7F)), 8, width)
        return t.or_(width, low, t.shl(width, t.zext(second, 8, width), t.const(width, 7)))

    def _record(self, item: Field, at: Term, wanted: bool) -> Term:
        """A field behind its tag, or its default where the end or a later field comes first."""
        t, inner, end = self.t, item.inner, self.end
        assert inner is not None and end is not None
        value: Term | None = None
        going = t.true
        for _ in range(item.times):
            at_end = t.eq(64, at, end)
            room = t.negate(t.ult(64, end, t.add(64, at, t.const(64, 2))))
            self.require(t.any_of(t.negate(going), at_end, room))
            first, second = self.bytes(at, 2)
            short = t.ult(8, first, t.const(8, 0x80))
            tag = t.ite(16, short, t.zext(first, 8, 16), self._fourteen(first, second, 16))
            has = t.all_of(going, t.negate(at_end), t.eq(16, tag, t.const(16, item.tag)))
            later = t.ult(16, t.const(16, item.tag >> 3), t.lshr(16, tag, t.const(16, 3)))
            self.require(t.any_of(t.negate(going), at_end, has, later))
            behind = _Reader(t, self.packet, end)
            after = behind.field(inner, t.add(64, at, t.const(64, len(varint(item.tag)))), wanted)
            for condition in behind.conditions:
                self.require(t.any_of(t.negate(has), condition))
            if wanted:
                found = behind.fields[inner.name]
                value = t.ite(found.width, has, found, t.const(found.width, 0) if value is None else value)
            at = t.ite(64, has, after, at)
            going = has
        if value is not None:
            self.fields[item.name] = value
        return at

    def _varint(self, item: Field, at: Term, wanted: bool) -> Term:
        """Seven bits a byte, the lowest first; the byte without the top bit is the last."""
        t = self.t
        value, end, going = t.const(64, 0), at, t.true
        for index in range(item.size):
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
        if item.size <= VARINT_BYTES:
            self.require(t.ult(64, value, t.const(64, 1 << 32)))
        if wanted:
            self.fields[item.name] = t.extract(value, 64, 31, 0)
        return end


def from_bytes(t: Terms, item: Field, raw: list[Term]) -> Term:
    """The value of a number or bytes(N) from its bytes."""
    if item.kind == "bytes":
        return _in_memory(t, item, t.const(8, item.size), raw)
    extend = t.sext if item.signed else t.zext
    return extend(joined(t, raw if item.little else raw[::-1]), 8 * item.size, 32)


def _in_memory(t: Terms, item: Field, length: Term, text: list[Term]) -> Term:
    padding = [t.const(8, 0)] * (size_of(item.type) - 1 - len(text))
    return joined(t, [length, *text, *padding])


def replied(t: Terms, packet: Bytes, binding: Binding) -> Bytes:
    """The packet as an error reply: back to its sender, with the binding's fields set. (The IP checksum stays: it is a sum.)"""
    before, around = packet, binding.envelope
    for here, there, size in around.swapped():
        for index in range(size):
            for to, source in ((here, there), (there, here)):
                byte = before.load(t, t.const(64, source + index), 1)
                packet = packet.store(t, t.const(64, to + index), 1, byte)
    packet = packet.store(t, t.const(64, around.checksum), 2, t.const(16, 0))
    offsets = {item.name: (item, offset) for item, offset in binding.placed(binding.fields["req"]).fixed}
    for name, number in binding.reply or ():
        item, offset = offsets[name]
        packet = write_field(t, packet, binding, item, t.const(64, around.payload + offset), t.const(32, number))
    return packet


def write_field(t: Terms, packet: Bytes, binding: Binding, item: Field, at: Term, value: Term) -> Bytes:
    """The packet with a field rewritten, and without a UDP checksum."""
    if item.kind == "bytes":
        raw = [t.extract(value, value.width, 8 * index + 15, 8 * index + 8) for index in range(item.size)]
    else:
        raw = [t.extract(value, 32, 8 * index + 7, 8 * index) for index in range(item.size)]
        raw = raw if item.little else raw[::-1]
    for index, byte in enumerate(raw):
        packet = packet.store(t, t.add(64, at, t.const(64, index)), 1, byte)
    return packet.store(t, t.const(64, binding.envelope.checksum), 2, t.const(16, 0))
