"""Reads and writes .BTF sections; `parse_btf(encode_btf(btf)) == btf`.

Little-endian only. Source: Documentation/bpf/btf.rst and include/uapi/linux/btf.h.

    +--------+---------------------+--------------------------+
    | header | types, 12 bytes and | strings, NUL-terminated, |
    |        | more by kind        | offset 0 is ""           |
    +--------+---------------------+--------------------------+
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import assert_never, overload

from bpfsmith.objfile import btf as t
from bpfsmith.objfile.btf import Btf, BtfType, malformed

MAGIC = 0xEB9F

_HEADER = struct.Struct("<HBBIIIII")  # magic, version, flags, hdr_len, type_off, type_len, str_off, str_len
_COMMON = struct.Struct("<III")  # name_off, info, size or type


class Kind(IntEnum):
    """BTF_KIND_*; the number is what the file holds."""

    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


# What follows the common 12 bytes: one record, or `vlen` of them. All fields are unsigned here.
_ONE = {
    Kind.INT: struct.Struct("<I"),
    Kind.ARRAY: struct.Struct("<III"),
    Kind.VAR: struct.Struct("<I"),
    Kind.DECL_TAG: struct.Struct("<I"),
}
_MANY = {
    Kind.STRUCT: struct.Struct("<III"),
    Kind.UNION: struct.Struct("<III"),
    Kind.ENUM: struct.Struct("<II"),
    Kind.FUNC_PROTO: struct.Struct("<II"),
    Kind.DATASEC: struct.Struct("<III"),
    Kind.ENUM64: struct.Struct("<III"),
}


def record_bytes(kind: int, vlen: int) -> int:
    """How long the record of a type is, from its kind and count of members; for walking a section without parsing it."""
    one, many = _ONE.get(Kind(kind)), _MANY.get(Kind(kind))
    return _COMMON.size + (one.size if one else 0) + (many.size * vlen if many else 0)


def parse_btf(data: bytes) -> Btf:
    """Read a .BTF section or /sys/kernel/btf/vmlinux. InputError `malformed-btf` for anything else."""
    if len(data) < _HEADER.size:
        raise malformed(f"{len(data)} bytes are too few for a header")
    magic, version, _, header_length, type_start, type_length, string_start, string_length = _HEADER.unpack_from(data)
    if magic != MAGIC or version != 1:
        raise malformed(f"magic {magic:#06x} and version {version} are not those of little-endian BTF version 1")
    type_start, string_start = type_start + header_length, string_start + header_length
    if type_start + type_length > len(data) or string_start + string_length > len(data):
        raise malformed("the header points past the end", f"the section has {len(data)} bytes")
    strings = Btf(strings=data[string_start : string_start + string_length])
    return Btf((t.Void(), *_parse_types(data[type_start : type_start + type_length], strings.string)), strings.strings)


class LazyBtf(Btf):
    """A large .BTF section of which few types are wanted: parsed one by one, when they are asked for."""

    def __init__(self, data: bytes) -> None:
        _, _, _, header_length, type_start, type_length, string_start, string_length = _HEADER.unpack_from(data)
        start = header_length + string_start
        super().__init__(_LazyTypes(data, header_length + type_start, type_length, self), data[start : start + string_length])

    def named(self, name: str) -> Sequence[int]:
        assert isinstance(self.types, _LazyTypes)
        known = self.types.found.get(name)
        if known is None:
            wanted, at = b"\0" + name.encode() + b"\0", -1
            known = self.types.found[name] = []
            while (at := self.strings.find(wanted, at + 1)) >= 0:
                known += self.types.ids.get(at + 1, [])
        return known


class _LazyTypes(Sequence[BtfType]):
    """The records of a section by id; `ids` has the ids of each name, by its place among the strings."""

    def __init__(self, data: bytes, start: int, length: int, btf: Btf) -> None:
        self._data, self._btf = data, btf
        self._starts = [start]
        self.ids: dict[int, list[int]] = {}
        self.found: dict[str, list[int]] = {}
        at, end = start, start + length
        sizes = {int(kind): (record_bytes(kind, 0), record_bytes(kind, 1) - record_bytes(kind, 0)) for kind in Kind}
        head, starts, ids = struct.Struct("<II").unpack_from, self._starts, self.ids
        while at < end:
            name, info = head(data, at)
            if name:
                ids.setdefault(name, []).append(len(starts))
            starts.append(at)
            fixed, each = sizes[info >> 24 & 0x1F]
            at += fixed + each * (info & 0xFFFF)
        self._end = at
        self._parsed: dict[int, BtfType] = {0: t.Void()}

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> BtfType: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[BtfType]: ...
    def __getitem__(self, index: int | slice) -> BtfType | Sequence[BtfType]:
        if isinstance(index, slice):
            return [self[item] for item in range(*index.indices(len(self)))]
        known = self._parsed.get(index)
        if known is None:
            end = self._starts[index + 1] if index + 1 < len(self._starts) else self._end
            (known,) = _parse_types(self._data[self._starts[index] : end], self._btf.string)
            self._parsed[index] = known
        return known


def encode_btf(btf: Btf) -> bytes:
    """The bytes of a .BTF section. Strings keep their offsets (.BTF.ext needs them) and new ones go to the end."""
    strings = _StringWriter(btf.strings)
    types = b"".join(_encode_type(item, strings.offset) for item in btf.types[1:])
    header = _HEADER.pack(MAGIC, 1, 0, _HEADER.size, 0, len(types), len(types), len(strings.data))
    return header + types + bytes(strings.data)


class _StringWriter:
    """A string section that grows; strings that it has keep their offset."""

    def __init__(self, existing: bytes) -> None:
        self.data = bytearray(existing or b"\0")
        self._offsets: dict[bytes, int] = {b"": 0}
        at = 0
        for string in existing.split(b"\0")[:-1]:
            self._offsets.setdefault(string, at)
            at += len(string) + 1

    def offset(self, text: str) -> int:
        key = text.encode("utf-8", "surrogateescape")
        if key not in self._offsets:
            self._offsets[key] = len(self.data)
            self.data += key + b"\0"
        return self._offsets[key]


def _parse_types(data: bytes, string: Callable[[int], str]) -> Iterator[BtfType]:
    """Info word: | kind_flag:1 | unused:2 | kind:5 | unused:8 | vlen:16 |."""
    at = 0
    while at < len(data):
        if at + _COMMON.size > len(data):
            raise malformed("a type is cut off")
        name_offset, info, size_or_type = _COMMON.unpack_from(data, at)
        at += _COMMON.size
        number, vlen, kind_flag = info >> 24 & 0x1F, info & 0xFFFF, bool(info >> 31)
        try:
            kind = Kind(number)
        except ValueError:
            raise malformed(f"kind {number} is unknown") from None
        layout = _ONE.get(kind) or _MANY.get(kind)
        length = layout.size * (vlen if kind in _MANY else 1) if layout else 0
        if at + length > len(data):
            raise malformed("a type is cut off")
        records = list(layout.iter_unpack(data[at : at + length])) if layout else []
        at += length
        yield _parse_type(kind, string(name_offset), size_or_type, vlen, kind_flag, records, string)


def _parse_type(
    kind: Kind,
    name: str,
    value: int,
    vlen: int,
    kind_flag: bool,
    records: Sequence[tuple[int, ...]],
    string: Callable[[int], str],
) -> BtfType:
    """One type from its common part (`value` is its size or type id, whichever the kind has) and its records."""
    match kind:
        case Kind.INT:  # | unused:4 | encoding:4 | bit_offset:8 | unused:8 | bits:8 |
            word = records[0][0]
            return t.Int(name, value, word & 0xFF, word >> 24 & 0xF, word >> 16 & 0xFF)
        case Kind.FLOAT:
            return t.Float(name, value)
        case Kind.PTR:
            return t.Ptr(value)
        case Kind.ARRAY:
            element, index, length = records[0]
            return t.Array(element, index, length)
        case Kind.STRUCT | Kind.UNION:
            members = tuple(_parse_member(string(at), type_id, offset, kind_flag) for at, type_id, offset in records)
            return t.Struct(name, value, members, kind is Kind.UNION, kind_flag)
        case Kind.ENUM:
            values = tuple(t.Enumerator(string(at), _as_signed(low, 32) if kind_flag else low) for at, low in records)
            return t.Enum(name, value, values, kind_flag)
        case Kind.ENUM64:
            wide = ((string(at), low | high << 32) for at, low, high in records)
            values = tuple(t.Enumerator(text, _as_signed(number, 64) if kind_flag else number) for text, number in wide)
            return t.Enum(name, value, values, kind_flag, is_enum64=True)
        case Kind.FWD:
            return t.Fwd(name, kind_flag)
        case Kind.TYPEDEF:
            return t.Typedef(name, value)
        case Kind.CONST:
            return t.Const(value)
        case Kind.VOLATILE:
            return t.Volatile(value)
        case Kind.RESTRICT:
            return t.Restrict(value)
        case Kind.TYPE_TAG:
            return t.TypeTag(name, value, kind_flag)
        case Kind.FUNC_PROTO:
            return t.FuncProto(value, tuple(t.Param(string(at), type_id) for at, type_id in records))
        case Kind.FUNC:
            return t.Func(name, value, vlen)
        case Kind.VAR:
            return t.Var(name, value, records[0][0])
        case Kind.DATASEC:
            return t.DataSec(name, value, tuple(t.SectionVar(*record) for record in records))
        case Kind.DECL_TAG:
            return t.DeclTag(name, value, _as_signed(records[0][0], 32), kind_flag)
        case _:
            assert_never(kind)


def _parse_member(name: str, type_id: int, offset: int, kind_flag: bool) -> t.Member:
    """With the kind flag, a member's offset word is | bit_size:8 | bit_offset:24 |."""
    if not kind_flag:
        return t.Member(name, type_id, offset)
    return t.Member(name, type_id, offset & 0xFFFFFF, offset >> 24)


def _as_signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _encode_type(item: BtfType, name: Callable[[str], int]) -> bytes:
    match item:
        case t.Void():
            raise malformed("void has no record of its own")
        case t.Int():
            return _common(Kind.INT, name(item.name), item.size, [(item.bits | item.bit_offset << 16 | item.encoding << 24,)])
        case t.Float():
            return _common(Kind.FLOAT, name(item.name), item.size)
        case t.Ptr():
            return _common(Kind.PTR, 0, item.target)
        case t.Array():
            return _common(Kind.ARRAY, 0, 0, [(item.element, item.index, item.length)])
        case t.Struct():
            members = [(name(m.name), m.type_id, m.bit_offset | m.bit_size << 24) for m in item.members]
            return _common(
                Kind.UNION if item.is_union else Kind.STRUCT, name(item.name), item.size, members, flag=item.kind_flag
            )
        case t.Enum(is_enum64=False):
            values = [(name(v.name), v.value & 0xFFFFFFFF) for v in item.values]
            return _common(Kind.ENUM, name(item.name), item.size, values, flag=item.signed)
        case t.Enum():
            halves = [(name(v.name), v.value & 0xFFFFFFFF, v.value >> 32 & 0xFFFFFFFF) for v in item.values]
            return _common(Kind.ENUM64, name(item.name), item.size, halves, flag=item.signed)
        case t.Fwd():
            return _common(Kind.FWD, name(item.name), 0, flag=item.is_union)
        case t.Typedef():
            return _common(Kind.TYPEDEF, name(item.name), item.target)
        case t.Const():
            return _common(Kind.CONST, 0, item.target)
        case t.Volatile():
            return _common(Kind.VOLATILE, 0, item.target)
        case t.Restrict():
            return _common(Kind.RESTRICT, 0, item.target)
        case t.TypeTag():
            return _common(Kind.TYPE_TAG, name(item.name), item.target, flag=item.is_attribute)
        case t.FuncProto():
            return _common(Kind.FUNC_PROTO, 0, item.returns, [(name(p.name), p.type_id) for p in item.params])
        case t.Func():
            return _common(Kind.FUNC, name(item.name), item.proto, vlen=item.linkage)
        case t.Var():
            return _common(Kind.VAR, name(item.name), item.type_id, [(item.linkage,)])
        case t.DataSec():
            variables = [(v.type_id, v.offset, v.size) for v in item.variables]
            return _common(Kind.DATASEC, name(item.name), item.size, variables)
        case t.DeclTag():
            component = item.component & 0xFFFFFFFF
            return _common(Kind.DECL_TAG, name(item.name), item.target, [(component,)], flag=item.is_attribute)
        case _:
            assert_never(item)


def _common(
    kind: Kind,
    name_offset: int,
    size_or_type: int,
    records: Iterable[tuple[int, ...]] = (),
    *,
    flag: bool = False,
    vlen: int = 0,
) -> bytes:
    """The 12 bytes that every type has, and its records."""
    rows = list(records)
    if kind in _MANY:
        vlen = len(rows)
    layout = _ONE.get(kind) or _MANY.get(kind)
    tail = b"".join(layout.pack(*row) for row in rows) if layout else b""
    return _COMMON.pack(name_offset, flag << 31 | kind << 24 | vlen, size_or_type) + tail
