"""Bytes of maps and variables as their C types say them, where an object has BTF."""

from __future__ import annotations

import ipaddress

from bpfsmith.objfile.btf import INT_CHAR, Array, Btf, Enum, Int, Member, Ptr, Struct, Typedef

_NETWORK = {"__be16": 2, "__be32": 4, "__be64": 8}
_MOST_ELEMENTS = 8


def typed_text(btf: Btf, type_id: int, raw: bytes) -> str:
    """The value as C would write it: `{tokens = 7, last_ns = 0}`, `[1, 2, ..]`, `"text"`, `192.0.2.1`; hexadecimal where the
    type does not say. __be16 and __be32 are in network byte order, the latter shown as an address."""
    name = _network_name(btf, type_id)
    if name == "__be32":
        return str(ipaddress.IPv4Address(raw[:4]))
    if name is not None:
        return str(int.from_bytes(raw[: _NETWORK[name]], "big"))
    match btf.resolved(type_id):
        case Int() as kind:
            return str(int.from_bytes(raw[: kind.size], "little", signed=kind.signed))
        case Enum(size=size, signed=signed, values=values):
            number = int.from_bytes(raw[:size], "little", signed=signed)
            return next((item.name for item in values if item.value == number), str(number))
        case Ptr():
            return f"{int.from_bytes(raw[:8], 'little'):#x}"
        case Struct(is_union=False):
            return "{" + ", ".join(_member_text(btf, member, raw) for member in btf.members(type_id)) + "}"
        case Array(element=element, length=length):
            return _array_text(btf, element, length, raw)
        case _:
            return raw.hex()


def _network_name(btf: Btf, type_id: int) -> str | None:
    """The name of a typedef on the way to the type that says byte order."""
    while True:
        item = btf[type_id]
        if isinstance(item, Typedef) and item.name in _NETWORK:
            return item.name
        if not hasattr(item, "target") or isinstance(item, Ptr):
            return None
        type_id = item.target


def _member_text(btf: Btf, member: Member, raw: bytes) -> str:
    if member.bit_size:
        number = int.from_bytes(raw, "little") >> member.bit_offset & ((1 << member.bit_size) - 1)
        return f"{member.name} = {number}"
    at = member.bit_offset // 8
    return f"{member.name} = {typed_text(btf, member.type_id, raw[at : at + btf.sizeof(member.type_id)])}"


def _array_text(btf: Btf, element: int, length: int, raw: bytes) -> str:
    kind, size = btf.resolved(element), btf.sizeof(element)
    if isinstance(kind, Int) and size == 1:
        text = raw.rstrip(b"\0")
        is_char = kind.encoding & INT_CHAR or kind.name == "char"
        if is_char and all(32 <= byte < 127 for byte in text):
            return '"' + text.decode() + '"'
        return raw.hex(":") if length <= 16 else raw.hex()
    parts = [typed_text(btf, element, raw[at * size : (at + 1) * size]) for at in range(min(length, _MOST_ELEMENTS))]
    return "[" + ", ".join(parts) + (", ..]" if length > _MOST_ELEMENTS else "]")
