"""C that takes a message out of its packet: tells it from other packets, and puts its fields into variables.

The parts at constant places are read from the packet directly, in network order; what stands behind a field of varying length
is fetched with bpf_xdp_load_bytes or bpf_skb_load_bytes, which check bounds themselves. `arrivals` says what must come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.binding import ETH, IP, PAYLOAD, VARINT_BYTES, Binding, Field, placed
from bpfsmith.appnet.declared import CTypes

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
    load: str
    forward: str
    unreadable: str

    def variable(self, name: str) -> str:
        """The C variable of a field."""
        text = "".join(char if char.isascii() and char.isalnum() else "_" for char in name)
        return self.fresh(f"field_{text}" if name else "message_size")

    @property
    def data(self) -> str:
        return self.fresh("data")

    def lines(self) -> Iterator[str]:
        """The statements, without indentation."""
        binding = self.binding
        wanted = facts.fields_read(self.statements) | facts.fields_set(self.statements)
        answers = self.body == "req" and facts.answers(self.statements) and binding.reply is not None
        needed = placed(binding.needed(self.body, wanted | (binding.replied() if answers else frozenset())))
        data, data_end, end = self.data, self.fresh("data_end"), self.fresh("message_end")
        port, which = (ETH + IP + 2, "to") if self.body == "req" else (ETH + IP, "from")
        yield f"void *{data} = (void *)(long)ctx->data, *{data_end} = (void *)(long)ctx->data_end;"
        yield f"// A message: IPv4 without options or fragments, UDP {which} port {binding.port}."
        tests = [
            f"{data} + {PAYLOAD} > {data_end}",
            f"{self._at(12, 2)} != {_swapped(0x0800):#x}",
            f"{self._at(14, 1)} != 0x45",
            f"{self._at(20, 2)} & {_swapped(0x3FFF):#x}",
            f"{self._at(23, 1)} != 17",
            f"{self._at(port, 2)} != {_swapped(binding.port):#x}",
        ]
        yield f"if ({' || '.join(tests[:3])} ||"
        yield f"    {' || '.join(tests[3:])})"
        yield f"\treturn {self.forward};"
        if not facts.needs_message(self.statements) and not (answers and binding.reply):
            return
        fixed = PAYLOAD + needed.fixed_size
        yield f"__u32 {end} = {ETH + IP} + __builtin_bswap16({self._at(38, 2)});"
        # The constant bound first: behind the others clang takes it for granted, and the verifier does not.
        beyond = f"{data} + {fixed} > {data_end} || " if needed.fixed_size else ""
        yield f"if ({beyond}{end} < {fixed} || {data} + {end} > {data_end})"
        yield f"\treturn {self.unreadable};"
        if any(isinstance(expr, core.MessageSize) for expr in facts.expressions(self.statements)):
            yield f"__s32 {self.variable(MESSAGE_SIZE)} = {end} - {PAYLOAD};"
        read = facts.fields_read(self.statements)
        for item, offset in needed.fixed:
            if item.name in read:
                yield from self._fixed(item, PAYLOAD + offset)
        if needed.varying:
            yield f"__u32 {self.fresh('at')} = {fixed};"
        for item in needed.varying:
            yield from self._varying(item, item.name in read)

    def _at(self, offset: int, size: int) -> str:
        return f"*(__u{8 * size} *)({self.data} + {offset})"

    def _fixed(self, item: Field, offset: int) -> Iterator[str]:
        name, kind = self.variable(item.name), self.c_type(item.type)
        if item.kind == "bytes":
            yield f"{kind} {name} = {{ .size = {item.size} }};"
            yield f"__builtin_memcpy({name}.bytes, {self.data} + {offset}, {item.size});"
        else:
            yield f"{kind} {name} = {_number(item, self._at(offset, item.size))};"

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
                yield f"{self.c_type(item.type)} {name} = {_number(item, f'{name}_raw')};"
                yield f"{at} += {item.size};"
            case "bytes":
                yield f"{self.c_type(item.type)} {name} = {{ .size = {item.size} }};"
                yield f"if ({at} + {item.size} > {end} || {self.load}(ctx, {at}, {name}.bytes, {item.size}))"
                yield leave
                yield f"{at} += {item.size};"
            case "varint":
                yield f"__u64 {name}_long = 0;"
                yield "for (int i = 0; ; i++) {"
                yield "\t__u8 byte;"
                yield f"\tif (i == {VARINT_BYTES} || {at} >= {end} || {self.load}(ctx, {at}, &byte, 1))"
                yield f"\t{leave}"
                yield f"\t{at}++;"
                yield f"\t{name}_long |= (__u64)(byte & 0x7f) << 7 * i;"
                yield "\tif (byte < 0x80)"
                yield "\t\tbreak;"
                yield "}"
                yield f"if ({name}_long >> 32)"
                yield leave
                yield f"__u32 {name} = {name}_long;"
            case _:
                yield from self._text(item, wanted)

    def _text(self, item: Field, wanted: bool) -> Iterator[str]:
        name, at, end = self.variable(item.name), self.fresh("at"), self.fresh("message_end")
        leave = f"\treturn {self.unreadable};"
        swap = "__builtin_bswap16" if item.prefix == 2 else ""
        yield f"__u{8 * item.prefix} {name}_raw;"
        yield f"if ({at} + {item.prefix} > {end} || {self.load}(ctx, {at}, &{name}_raw, {item.prefix}))"
        yield leave
        yield f"__u32 {name}_size = {swap}({name}_raw);"
        yield f"{at} += {item.prefix};"
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

    def reply(self) -> Iterator[str]:
        """Turns the packet round, and sets what tells an error."""
        yield f"reply_to_sender({self.data});"
        for name, number in self.binding.reply or ():
            yield from list(self.store(name, f"{number}u"))[:-1]

    def store(self, name: str, value: str) -> Iterator[str]:
        """Rewrites a field at a constant place, and takes the UDP checksum away."""
        fixed = placed(self.binding.fields[self.body]).fixed
        item, offset = next((item, offset) for item, offset in fixed if item.name == name)
        place = PAYLOAD + offset
        if item.kind == "bytes":
            yield f"__builtin_memcpy({self.data} + {place}, {value}.bytes, {item.size});"
        else:
            swap = f"__builtin_bswap{8 * item.size}" if item.size > 1 and not item.little else ""
            yield f"{self._at(place, item.size)} = {swap}({value});"
        yield f"{self._at(40, 2)} = 0; // no UDP checksum"


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


def _number(item: Field, raw: str) -> str:
    """The value of a number from its bytes as they were loaded."""
    bits = 8 * item.size
    swapped = raw if item.size == 1 or item.little else f"__builtin_bswap{bits}({raw})"
    return f"(__s{bits}){swapped}" if item.signed else swapped


def _swapped(value: int) -> int:
    return int.from_bytes(value.to_bytes(2, "big"), "little")
