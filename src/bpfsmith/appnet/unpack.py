"""C that takes a message out of its packet: tells it from other packets, and puts its fields into variables.

The parts at constant places are read from the packet directly, in network order; what stands behind a field of varying length
is fetched with bpf_xdp_load_bytes or bpf_skb_load_bytes, which check bounds themselves. `arrivals` says what must come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.binding import VARINT_BYTES, Binding, Field, Placed
from bpfsmith.appnet.declared import CTypes
from bpfsmith.appnet.envelope import Test
from bpfsmith.appnet.protobuf import varint
from bpfsmith.appnet.shapes import is_block
from bpfsmith.appnet.targets import Target

MESSAGE_SIZE = ""
"""The name, among fields, of the size of the message."""


@dataclass(frozen=True, slots=True)
class Unpacking:
    """What the generator gives: names, types, the load helper of the hook, and the actions for packets that are no messages."""

    binding: Binding
    body: str
    statements: tuple[core.Stmt, ...]
    fresh: Callable[[str], str]
    c_type: CTypes
    target: Target

    def variable(self, name: str) -> str:
        """The C variable of a field."""
        text = "".join(char if char.isascii() and char.isalnum() else "_" for char in name)
        return self.fresh(f"field_{text}" if name else "message_size")

    @property
    def data(self) -> str:
        return self.fresh("data")

    @property
    def load(self) -> str:
        return self.target.load_bytes

    @property
    def unreadable(self) -> str:
        return self.target.forward if self.binding.unreadable == "forward" else self.target.abort

    @property
    def answers(self) -> bool:
        return self.body == "req" and facts.answers(self.statements) and self.binding.reply is not None

    @property
    def wanted(self) -> frozenset[str]:
        return facts.fields_read(self.statements) | facts.fields_set(self.statements)

    @property
    def needed(self) -> Placed:
        """The fields that have to be there, of the packet that decides."""
        binding = self.binding
        fields = binding.needed(self.body, self.wanted | (binding.replied() if self.answers else frozenset()))
        return binding.placed(fields[: binding.header] if binding.parts(self.body, self.wanted).several else fields)

    def opening(self) -> Iterator[str]:
        """Tells messages from other packets, and reads the fields that every packet of an RPC has."""
        binding, around = self.binding, self.binding.envelope
        data, data_end, end, at = self.data, self.fresh("data_end"), self.fresh("message_end"), self.fresh("at")
        which = "to" if self.body == "req" else "from"
        yield f"void *{data} = (void *)(long)ctx->data, *{data_end} = (void *)(long)ctx->data_end;"
        yield f"// A message: {around.words}, {around.transport.upper()} {which} port {binding.port}."
        tests = [f"{data} + {around.payload} > {data_end}"]
        for test in around.tests(self.body, binding.port):
            mask = "" if test.mask is None else f" & {_swapped(test.mask, test.size):#x}"
            found = f"{self._at(test.offset, test.size)}{mask}"
            value = _swapped(test.value, test.size)
            tests.append(
                f"({found}) != {value:#x}" if mask and value else found if mask else f"{found} != {_plain(value, test)}"
            )
        yield f"if ({' || '.join(tests[:3])} ||"
        yield f"    {' || '.join(tests[3:])})"
        yield f"\treturn {self.target.forward};"
        length_at, counts_from = around.length
        length = f"{counts_from} + __builtin_bswap16({self._at(length_at, 2)})"
        if around.slides:
            yield f"__u32 {end} = {length};"
            yield f"__u32 {at} = {around.l4} + ({self._at(around.data_offset, 1)} >> 4) * 4;"
            yield f"if ({at} < {around.payload} || {end} <= {at}) // no data: no message"
            yield f"\treturn {self.target.forward};"
        if not facts.needs_message(self.statements) and not (self.answers and binding.reply) and binding.packets is None:
            return
        if not around.slides:
            yield f"__u32 {end} = {length};"
        needed = self.needed
        first = needed.fixed[: binding.header] if binding.packets is not None else needed.fixed
        size = binding.header_size if binding.packets is not None else needed.fixed_size
        yield from self._long_enough(size)
        if any(isinstance(expr, core.MessageSize) for expr in facts.expressions(self.statements)):
            yield f"__s32 {self.variable(MESSAGE_SIZE)} = {end} - {at if around.slides else around.payload};"
        for item, offset in first:
            if item.name in facts.fields_read(self.statements) or item.name in binding.told_apart:
                yield from self._fixed(item, around.payload + offset)
        if binding.packets is None:
            yield from self._rest(needed)

    def body_of_message(self) -> Iterator[str]:
        """Reads the fields that only the packet has which decides."""
        needed, header = self.needed, self.binding.header
        if needed.fixed_size > self.binding.header_size:
            yield from self._long_enough(needed.fixed_size)
        for item, offset in needed.fixed[header:]:
            if item.name in facts.fields_read(self.statements):
                yield from self._fixed(item, self.binding.envelope.payload + offset)
        yield from self._rest(needed)

    def _long_enough(self, size: int) -> Iterator[str]:
        """Leaves where the message has fewer bytes than `size`, or the packet fewer than its message."""
        around, data, data_end, end = self.binding.envelope, self.data, self.fresh("data_end"), self.fresh("message_end")
        fixed = around.payload + size
        # The constant bound first: behind the others clang takes it for granted, and the verifier does not.
        beyond = f"{data} + {fixed} > {data_end} || " if size else ""
        if around.slides:
            whole = f"{end} > ctx->len" if self.target.whole else f"{data} + {end} > {data_end}"
            yield f"if ({whole})"
        else:
            yield f"if ({beyond}{end} < {fixed} || {data} + {end} > {data_end})"
        yield f"\treturn {self.unreadable};"

    def _rest(self, needed: Placed) -> Iterator[str]:
        if needed.varying and not self.binding.envelope.slides:
            yield f"__u32 {self.fresh('at')} = {self.binding.envelope.payload + needed.fixed_size};"
        for item in needed.varying:
            yield from self._varying(item, item.name in facts.fields_read(self.statements))

    def _at(self, offset: int, size: int) -> str:
        return f"*(__u{8 * size} *)({self.data} + {offset})"

    def _fixed(self, item: Field, offset: int) -> Iterator[str]:
        name, kind = self.variable(item.name), self.c_type(item.type)
        if item.kind == "bytes":
            yield f"{kind} {name} = {{ .size = {item.size} }};"
            yield f"__builtin_memcpy({name}.bytes, {self.data} + {offset}, {item.size});"
        else:
            yield f"{kind} {name} = {number_of(item, self._at(offset, item.size))};"

    def _varying(self, item: Field, wanted: bool) -> Iterator[str]:
        name, at, end = self.variable(item.name), self.fresh("at"), self.fresh("message_end")
        leave = f"\treturn {self.unreadable};"
        match item.kind:
            case "number" | "bytes" | "skip" if not wanted:
                yield f"{at} += {item.size};"
                yield f"if ({at} > {end})"
                yield leave
            case "number":
                yield f"__u{8 * item.size} {name}_raw;"
                yield f"if ({at} + {item.size} > {end} || {self.load}(ctx, {at}, &{name}_raw, {item.size}))"
                yield leave
                yield f"{self.c_type(item.type)} {name} = {number_of(item, f'{name}_raw')};"
                yield f"{at} += {item.size};"
            case "bytes":
                yield f"{self.c_type(item.type)} {name} = {{ .size = {item.size} }};"
                yield f"if ({at} + {item.size} > {end} || {self.load}(ctx, {at}, {name}.bytes, {item.size}))"
                yield leave
                yield f"{at} += {item.size};"
            case "record":
                empty = "= {}" if is_block(item.type) else "= 0"
                if wanted:
                    yield f"{self.c_type(item.type)} {name} {empty};"
                yield from self._record(item, wanted, item.times)
            case "varint":
                yield f"__u64 {name}_long = 0;"
                yield "for (int i = 0; ; i++) {"
                yield "\t__u8 byte;"
                yield f"\tif (i == {item.size} || {at} >= {end} || {self.load}(ctx, {at}, &byte, 1))"
                yield f"\t{leave}"
                yield f"\t{at}++;"
                yield f"\t{name}_long |= (__u64)(byte & 0x7f) << 7 * i;"
                yield "\tif (byte < 0x80)"
                yield "\t\tbreak;"
                yield "}"
                if item.size <= VARINT_BYTES:
                    yield f"if ({name}_long >> 32)"
                    yield leave
                if wanted:
                    yield f"{self.c_type(item.type)} {name} = {name}_long;"
            case _:
                yield from self._text(item, wanted)

    def _text(self, item: Field, wanted: bool) -> Iterator[str]:
        name, at, end = self.variable(item.name), self.fresh("at"), self.fresh("message_end")
        leave = f"\treturn {self.unreadable};"
        if item.prefix:
            swap = "__builtin_bswap16" if item.prefix == 2 else ""
            yield f"__u{8 * item.prefix} {name}_raw;"
            yield f"if ({at} + {item.prefix} > {end} || {self.load}(ctx, {at}, &{name}_raw, {item.prefix}))"
            yield leave
            yield f"__u32 {name}_size = {swap}({name}_raw);"
            yield f"{at} += {item.prefix};"
        else:
            yield f"__u8 {name}_raw;"
            yield f"if ({at} + 1 > {end} || {self.load}(ctx, {at}, &{name}_raw, 1))"
            yield leave
            yield f"__u32 {name}_size = {name}_raw;"
            yield f"{at} += 1;"
            yield f"if ({name}_size >= 0x80) {{"
            yield f"\tif ({at} + 1 > {end} || {self.load}(ctx, {at}, &{name}_raw, 1) || {name}_raw >= 0x80)"
            yield f"\t{leave}"
            yield f"\t{name}_size = ({name}_size & 0x7f) | {name}_raw << 7;"
            yield f"\t{at} += 1;"
            yield "}"
        longer = f"{name}_size > {item.size} || " if wanted else ""
        yield f"if ({longer}{at} + {name}_size > {end})"
        yield leave
        if wanted:
            yield f"{self.c_type(item.type)} {name} = {{ .size = {name}_size }};"
            # Asked anew, and of a value that clang knows nothing of: the verifier has to see the bounds of just this register.
            yield f'asm volatile("" : "+r"({name}_size));'
            yield f"if ({name}_size && {name}_size <= {item.size} && {self.load}(ctx, {at}, {name}.bytes, {name}_size))"
            yield leave
        yield f"{at} += {name}_size;"

    def _record(self, item: Field, wanted: bool, times: int) -> Iterator[str]:
        """A field behind its protobuf tag, where it is there."""
        name, at, end = self.variable(item.name), self.fresh("at"), self.fresh("message_end")
        assert item.inner is not None
        inner = replace(item.inner, name=f"{item.name} value")
        yield f"if ({at} != {end}) {{"
        yield f"\t__u16 {name}_raw;"
        yield f"\tif ({at} + 2 > {end} || {self.load}(ctx, {at}, &{name}_raw, 2))"
        yield f"\t\treturn {self.unreadable};"
        long = f"({name}_raw & 0x7f) | {name}_raw >> 8 << 7"
        yield f"\t__u32 {name}_tag = {name}_raw & 0x80 ? {long} : {name}_raw & 0xff;"
        yield f"\tif ({name}_tag == {item.tag:#x}) {{"
        yield f"\t\t{at} += {len(varint(item.tag))};"
        yield from (f"\t\t{line}" for line in self._varying(inner, wanted))
        if wanted:
            yield f"\t\t{name} = {self.variable(inner.name)};"
        if times > 1:
            yield from (f"\t\t{line}" for line in self._record(item, wanted, times - 1))
        yield f"\t}} else if ({name}_tag >> 3 <= {item.tag >> 3}) {{"
        yield f"\t\treturn {self.unreadable};"
        yield "\t}"
        yield "}"

    def reply(self) -> Iterator[str]:
        """Turns the packet round, and sets what tells an error."""
        yield f"reply_to_sender({self.data});"
        for name, number in self.binding.reply or ():
            yield from list(self.store(name, f"{number}u"))[:-1]

    def store(self, name: str, value: str) -> Iterator[str]:
        """Rewrites a field at a constant place, and takes the UDP checksum away."""
        around = self.binding.envelope
        fixed = self.binding.placed(self.binding.fields[self.body]).fixed
        item, offset = next((item, offset) for item, offset in fixed if item.name == name)
        place = around.payload + offset
        if item.kind == "bytes":
            yield f"__builtin_memcpy({self.data} + {place}, {value}.bytes, {item.size});"
        else:
            swap = f"__builtin_bswap{8 * item.size}" if item.size > 1 and not item.little else ""
            yield f"{self._at(place, item.size)} = {swap}({value});"
        yield f"{self._at(around.checksum, 2)} = 0; // no UDP checksum"


def reply_function() -> Iterator[str]:
    """The C function that sends a packet back where it came from."""
    yield "// Back to the sender: addresses and ports change places; the IP checksum is a sum, and stays."
    yield "static __always_inline void reply_to_sender(void *data)"
    yield "{"
    yield "\tfor (int i = 0; i < 3; i++) {"
    yield "\t\t__u16 part = *(__u16 *)(data + 2 * i);"
    yield "\t\t*(__u16 *)(data + 2 * i) = *(__u16 *)(data + 6 + 2 * i);"
    yield "\t\t*(__u16 *)(data + 6 + 2 * i) = part;"
    yield "\t}"
    yield "\t__u32 address = *(__u32 *)(data + 26);"
    yield "\t*(__u32 *)(data + 26) = *(__u32 *)(data + 30);"
    yield "\t*(__u32 *)(data + 30) = address;"
    yield "\t__u16 port = *(__u16 *)(data + 34);"
    yield "\t*(__u16 *)(data + 34) = *(__u16 *)(data + 36);"
    yield "\t*(__u16 *)(data + 36) = port;"
    yield "\t*(__u16 *)(data + 40) = 0; // no UDP checksum"
    yield "}"


def number_of(item: Field, raw: str) -> str:
    """The value of a number from its bytes as they were loaded."""
    bits = 8 * item.size
    swapped = raw if item.size == 1 or item.little else f"__builtin_bswap{bits}({raw})"
    return f"(__s{bits}){swapped}" if item.signed else swapped


def _swapped(value: int, size: int) -> int:
    return int.from_bytes(value.to_bytes(size, "big"), "little")


def _plain(value: int, test: Test) -> str:
    return str(value) if test.size == 1 and value < 0x40 else f"{value:#x}"
