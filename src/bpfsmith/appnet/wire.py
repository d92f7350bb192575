"""Messages in packets, in plain Python: the reference for what generated code and proof make of a binding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bpfsmith.appnet.binding import VARINT_BYTES, Binding, Field
from bpfsmith.appnet.protobuf import LENGTH_BYTES, varint


@dataclass(frozen=True, slots=True)
class Message:
    """The fields of a message by name (numbers as int, texts as bytes) and the bytes of its payload."""

    fields: Mapping[str, int | bytes]
    size: int


def read_message(binding: Binding, body: str, packet: bytes, names: Iterable[str] | None = None) -> Message | str | None:
    """What `packet` says, as far as the fields up to the last of `names` go (all, unless given).

    None when it is no message of the binding; else, when a field does not fit into the message or is longer than the binding
    admits, the name of that field ("" when the packet ends before its own length).
    """
    around = binding.envelope
    if len(packet) < around.payload:
        return None
    for test in around.tests(body, binding.port):
        found_there = int.from_bytes(packet[test.offset : test.offset + test.size], "big")
        if (found_there if test.mask is None else found_there & test.mask) != test.value:
            return None
    length_at, counts_from = around.length
    end = counts_from + int.from_bytes(packet[length_at : length_at + 2], "big")
    begin = around.payload
    if around.slides:
        begin = around.l4 + 4 * (packet[around.data_offset] >> 4)
        if begin < around.payload or end <= begin:
            return None
    if end < begin or end > len(packet):
        return ""
    payload = packet[begin:end]
    fields = binding.fields[body] if names is None else binding.needed(body, names)
    wanted = {item.name for item in fields} if names is None else set(names)
    found: dict[str, int | bytes] = {}
    position = 0
    for item in fields:
        value, position = _value(item, payload, position, item.name in wanted)
        if value is None:
            return item.name
        if item.kind != "skip":
            found[item.name] = value
    return Message(found, len(payload))


def value_of_bytes(item: Field, raw: bytes) -> int | bytes:
    """The value of a number or bytes(N) from its bytes."""
    return raw if item.kind == "bytes" else int.from_bytes(raw, "little" if item.little else "big", signed=item.signed)


def _value(item: Field, payload: bytes, at: int, wanted: bool) -> tuple[int | bytes | None, int]:
    """A field's value, None when it is not there, and where the next one begins."""
    match item.kind:
        case "record":
            return _record_value(item, payload, at, wanted)
        case "number":
            raw = payload[at : at + item.size]
            return (value_of_bytes(item, raw) if len(raw) == item.size else None), at + item.size
        case "bytes" | "skip":
            raw = payload[at : at + item.size]
            return (raw if len(raw) == item.size else None), at + item.size
        case "varint":
            whole, after = _varint(payload, at, item.size)
            if whole is None or (whole >= 1 << 32 and item.size <= VARINT_BYTES):
                return None, at
            # Of a longer one the lower 32 bits count (protobuf writes negative int32 with ten bytes).
            low = whole & 0xFFFFFFFF
            return (low - (1 << 32) if item.signed and low >> 31 else low), after
        case _:
            if item.prefix:
                raw = payload[at : at + item.prefix]
                begin = at + item.prefix
                size = int.from_bytes(raw, "big") if len(raw) == item.prefix else None
            else:
                size, begin = _varint(payload, at, LENGTH_BYTES)
            if size is None or begin + size > len(payload) or (wanted and size > item.size):
                return None, at
            return payload[begin : begin + size], begin + size


def _varint(payload: bytes, at: int, most: int) -> tuple[int | None, int]:
    """A base-128 varint of at most so many bytes, None when there is none, and what is behind it."""
    value = 0
    for index, byte in enumerate(payload[at : at + most]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    return None, at


def _record_value(item: Field, payload: bytes, at: int, wanted: bool) -> tuple[int | bytes | None, int]:
    """The value of a field with a tag, or its default where another field or the end comes first."""
    inner = item.inner
    assert inner is not None
    value: int | bytes | None = b"" if inner.kind == "text" else 0
    for _ in range(item.times):
        if at == len(payload):
            break
        if at + 2 > len(payload):  # a tag and a value have two bytes at least
            return None, at
        tag = payload[at] if payload[at] < 0x80 else payload[at] & 0x7F | payload[at + 1] << 7
        if tag == item.tag:
            value, at = _value(inner, payload, at + len(varint(tag)), wanted)
            if value is None:
                return None, at
        elif tag >> 3 <= item.tag >> 3:
            return None, at
        else:
            break
    return value, at


# --- writing a message ------------------------------------------------------------------------------------------------
def payload(binding: Binding, body: str, values: Mapping[str, int | bytes]) -> bytes:
    """The payload of a message with these fields; zeros and empty texts for the others."""
    return b"".join(_bytes(item, values.get(item.name)) for item in binding.fields[body])


def _bytes(item: Field, value: int | bytes | None) -> bytes:
    match item.kind:
        case "number":
            whole = value if isinstance(value, int) else 0
            return whole.to_bytes(item.size, "little" if item.little else "big", signed=item.signed)
        case "record":
            assert item.inner is not None
            if not value:  # the default is not written
                return b""
            return varint(item.tag) + _bytes(item.inner, value)
        case "varint":
            return varint(value % (1 << 8 * min(item.size, 8)) if isinstance(value, int) else 0)
        case "text":
            text = value if isinstance(value, bytes) else b""
            return (len(text).to_bytes(item.prefix, "big") if item.prefix else varint(len(text))) + text
        case _:
            return (value if isinstance(value, bytes) else b"").ljust(item.size, b"\0")
