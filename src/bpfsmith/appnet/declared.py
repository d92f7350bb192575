"""The C types of AppNet's types: words as they are, texts and pairs as structs that are declared once each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bpfsmith.appnet import core
from bpfsmith.appnet.core import BOOL, FLOAT, INSTANT, INT, UINT, Type
from bpfsmith.appnet.layout import stride
from bpfsmith.appnet.shapes import offsets, size_of, text_bytes
from bpfsmith.appnet.writer import number

C_TYPES = {INT: "__s32", UINT: "__u32", FLOAT: "__u64", INSTANT: "__u64", BOOL: "_Bool"}
MEMBERS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def member(index: int) -> str:
    """The part of a pair with this index."""
    return MEMBERS[index] if index < len(MEMBERS) else f"part{index + 1}"


@dataclass(slots=True)
class CTypes:
    """Gives C types their names, and remembers what has to be declared for them."""

    declarations: dict[Type, list[str]] = field(default_factory=dict)
    names: dict[Type, str] = field(default_factory=dict)

    def __call__(self, kind: Type) -> str:
        """The C type of a value."""
        if kind.name == "name":
            return "__u32"
        if kind.name not in ("string", "Pair"):
            return C_TYPES[kind]
        known = self.names.get(_shape(kind))
        return known if known is not None else self._declare(_shape(kind))

    def stored(self, kind: Type) -> str:
        """The C type of a value that lies in memory, where a bool may be any byte."""
        return "__u8" if kind == BOOL else self(kind)

    def _declare(self, kind: Type) -> str:
        size = size_of(kind)
        if kind.name == "string":
            name = f"struct text_{size}"
            lines = [
                f"{name} {{ // a length, so many bytes, zeros",
                "\tunion {",
                "\t\tstruct {",
                "\t\t\t__u8 size;",
                f"\t\t\t__u8 bytes[{size - 1}];",
                "\t\t};",
                f"\t\t__u64 words[{size // 8}];",
                "\t};",
                "};",
            ]
        else:
            members = [f"{self.stored(part)} {member(index)};" for index, part in enumerate(kind.args)]
            name = f"struct pair_{sum(item.name == 'Pair' for item in self.names)}"
            lines = [f"{name} {{", *(f"\t{line}" for line in self._padded(kind, members)), "};"]
        self.names[kind], self.declarations[kind] = name, lines
        return name

    def _padded(self, kind: Type, members: list[str]) -> Iterator[str]:
        """The members with what C would leave between them written out, so that it is zero."""
        starts = (*offsets(kind), size_of(kind))
        for index, (text, part) in enumerate(zip(members, kind.args, strict=True)):
            yield text
            gap = starts[index + 1] - starts[index] - size_of(part)
            if gap:
                yield f"__u8 padding{index}[{gap}];"


def _shape(kind: Type) -> Type:
    """The type without what does not show in C: strings that take the same memory have one struct."""
    if kind.name == "string":
        return core.text(size_of(kind) - 1)
    if kind.name == "name":
        return UINT
    return Type(kind.name, tuple(map(_shape, kind.args)))


def words(constant: core.Const) -> list[str]:
    """A text as the words that it takes in memory."""
    assert isinstance(constant.value, bytes)
    raw = text_bytes(constant.value, size_of(constant.type))
    return [_word(int.from_bytes(raw[at : at + 8], "little")) for at in range(0, len(raw), 8)]


def _word(value: int) -> str:
    return f"{value:#x}ULL" if value else "0"


def vec_members(item: core.State, kind: str) -> list[str]:
    """The members of the struct that keeps a Vec."""
    assert stride(item) % 8 == 0
    return [
        "\t__u32 size;",
        "\tstruct {",
        f"\t\t{kind} value __attribute__((aligned(8)));",
        f"\t}} items[{item.max_entries}];",
    ]


def initial_text(item: core.State, raw: int) -> str:
    """What initialises the C variable of a scalar, whose memory is to hold `raw`."""
    if item.type.name == "string":
        constant = core.Const(raw.to_bytes(size_of(item.type), "little")[1:][: raw & 0xFF], item.type, item.span)
        return f" = {{ .words = {{ {', '.join(words(constant))} }} }}"
    if item.type.name == "Pair":
        return f" = {_initial_pair(item.type, raw.to_bytes(size_of(item.type), 'little'))}"
    if item.type == INT:
        return f" = {raw - (1 << 32) if raw >> 31 else raw}"
    return f" = {number(raw, 64 if item.type in (FLOAT, INSTANT) else 32)}"


def _initial_pair(kind: Type, raw: bytes) -> str:
    parts = []
    for index, (at, part) in enumerate(zip(offsets(kind), kind.args, strict=True)):
        inner = raw[at : at + size_of(part)]
        if part.name == "Pair":
            text = _initial_pair(part, inner)
        elif part.name == "string":
            text = f"{{ .words = {{ {', '.join(words(core.Const(inner[1 : 1 + inner[0]], part, core.NOWHERE)))} }} }}"
        else:
            text = str(int.from_bytes(inner, "little", signed=part == INT)) + ("ULL" if size_of(part) == 8 else "")
        parts.append(f".{member(index)} = {text}")
    return f"{{ {', '.join(parts)} }}"
