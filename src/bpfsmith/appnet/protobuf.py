"""Messages that a .proto file describes, as fields of a binding: a bounded walk over protobuf wire format.

    | tag: number << 3 | type, a varint | value |      type 0: varint, 1: 8 bytes, 2: length and bytes, 5: 4 bytes

Fields are walked over in the order of their numbers, in which serializers write them, as far as the last that is read; one that
is missing has its default. A field that stands where it does not belong makes a message unreadable: nothing is skipped in
silence. Source: the Protocol Buffers documentation, "Encoding" and "Language Guide (proto 3)".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

MOST_TIMES = 4
"""How often a repeated field may come that is walked over."""
LAST_NUMBER = 2047
"""Field numbers whose tags have at most two bytes."""
LENGTH_BYTES = 2
"""Bytes of the length of a string, bytes or message: at most 16,383 bytes."""

_TOKEN = re.compile(r"\s+|//[^\n]*|/\*.*?\*/|(?P<token>\"[^\"]*\"|'[^']*'|[A-Za-z_.][\w.]*|-?\d\w*|.)", re.DOTALL)
_VARINTS = {"uint32": 5, "int32": 10, "bool": 10, "uint64": 10, "int64": 10, "sint32": 10, "sint64": 10}
_WORDS = {"fixed32": 4, "sfixed32": 4, "float": 4, "fixed64": 8, "sfixed64": 8, "double": 8}
READ = frozenset({"uint32", "int32", "bool", "fixed32", "sfixed32", "string", "bytes"})
"""Scalar types that a program can read."""


@dataclass(frozen=True, slots=True)
class ProtoField:
    """One field of a message. `type` is as written; `values` are an enum's names with their numbers, None for other types."""

    name: str
    number: int
    type: str
    repeated: bool = False
    values: tuple[tuple[str, int], ...] | None = None

    @property
    def wire(self) -> int:
        """The wire type. Repeated numbers are packed, as proto 3 writes them."""
        if self.repeated:
            return 2
        if self.type in _VARINTS or self.values is not None:
            return 0
        return {4: 5, 8: 1}.get(_WORDS.get(self.type, 0), 2)

    @property
    def size(self) -> int:
        """Bytes of a fixed value, the most bytes of a varint, 0 for what has its length in front."""
        if self.wire == 2:
            return 0
        return _WORDS.get(self.type, _VARINTS.get(self.type, 10))

    @property
    def tag(self) -> int:
        return self.number << 3 | self.wire

    @property
    def readable(self) -> bool:
        """Has it a type of the language?"""
        return not self.repeated and (self.type in READ or self.values is not None)


class ProtoError(Exception):
    """What is wrong with a .proto file, in a sentence without a subject."""


def message_fields(text: str, message: str) -> tuple[ProtoField, ...]:
    """The fields of a message by their numbers. Raises ProtoError."""
    tokens = [found["token"] for found in _TOKEN.finditer(text) if found["token"]]
    messages: dict[str, list[ProtoField]] = {}
    enums: dict[str, tuple[tuple[str, int], ...]] = {}
    _definitions(iter(tokens), messages, enums)
    if message not in messages:
        raise ProtoError(f"has no message {message}: there are {', '.join(messages) or 'none'}")
    fields = [replace(item, values=enums.get(item.type)) for item in messages[message]]
    for item in fields:
        if not 0 < item.number <= LAST_NUMBER:
            raise ProtoError(f"gives {item.name} the number {item.number}; a tag of two bytes holds 1 to {LAST_NUMBER}")
    return tuple(sorted(fields, key=lambda item: item.number))


def _definitions(
    tokens: Iterator[str], messages: dict[str, list[ProtoField]], enums: dict[str, tuple[tuple[str, int], ...]]
) -> None:
    """The messages and enums of a file, and of a message inside it."""
    for token in tokens:
        match token:
            case "message":
                name, fields = next(tokens, ""), list[ProtoField]()
                messages[name] = fields
                _body(tokens, fields, messages, enums)
            case "enum":
                name = next(tokens, "")
                enums[name] = tuple(_values(tokens))
            case "service" | "extend":
                _block(tokens)
            case "syntax" | "package" | "import" | "option" | "edition":
                _rest(tokens)
            case ";":
                pass
            case _:
                raise ProtoError(f"has `{token}` where a message, an enum or an option is expected")


def _body(
    tokens: Iterator[str],
    fields: list[ProtoField],
    messages: dict[str, list[ProtoField]],
    enums: dict[str, tuple[tuple[str, int], ...]],
    opened: bool = False,
) -> None:
    if not opened and next(tokens, "") != "{":
        raise ProtoError("has a message without `{`")
    for token in tokens:
        match token:
            case "}":
                return
            case "message":
                name, inner = next(tokens, ""), list[ProtoField]()
                messages[name] = inner
                _body(tokens, inner, messages, enums)
            case "enum":
                name = next(tokens, "")
                enums[name] = tuple(_values(tokens))
            case "oneof":
                next(tokens, "")
                _body(tokens, fields, messages, enums)
            case "option" | "reserved" | "extensions":
                _rest(tokens)
            case ";":
                pass
            case _:
                fields.append(_field(token, tokens))
    raise ProtoError("ends inside a message")


def _field(first: str, tokens: Iterator[str]) -> ProtoField:
    label = first if first in ("optional", "required", "repeated") else ""
    kind = next(tokens, "") if label else first
    if kind == "map":
        for token in tokens:
            if token == ">":
                break
        label, kind = "repeated", "map"
    words = [next(tokens, "") for _ in range(3)]
    if words[1] != "=" or not words[2].isdigit() or not re.fullmatch(r"\w+", words[0]):
        raise ProtoError(f"has `{' '.join((kind, *words))}` where a field is expected")
    _rest(tokens)
    return ProtoField(words[0], int(words[2]), kind, label == "repeated")


def _values(tokens: Iterator[str]) -> Iterator[tuple[str, int]]:
    if next(tokens, "") != "{":
        raise ProtoError("has an enum without `{`")
    for token in tokens:
        if token == "}":
            return
        if token in ("option", "reserved"):
            _rest(tokens)
            continue
        sign, value = next(tokens, ""), next(tokens, "")
        if sign != "=" or not re.fullmatch(r"-?\d+", value):
            raise ProtoError(f"has `{token} {sign} {value}` where a value of an enum is expected")
        yield token, int(value)
        _rest(tokens)


def _rest(tokens: Iterator[str]) -> None:
    """Goes on behind the next semicolon."""
    for token in tokens:
        if token == ";":
            return


def _block(tokens: Iterator[str]) -> None:
    depth = 0
    for token in tokens:
        depth += {"{": 1, "}": -1}.get(token, 0)
        if token == "}" and depth == 0:
            return


def varint(value: int) -> bytes:
    """A base-128 varint, the lowest seven bits first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
