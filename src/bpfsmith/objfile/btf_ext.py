"""What .BTF.ext says about instructions: the function types, source lines and CO-RE relocations of each code section.

Layout: Documentation/bpf/btf.rst, section 4.2. Instruction offsets are bytes from the start of the ELF section here; the
kernel wants slots from the start of the program, which `btf_load.ProgramInfo` makes of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from bpfsmith.objfile.btf import Btf, malformed

MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")  # magic, version, flags, hdr_len, func_info off/len, line_info off/len
_CORE_HEADER = struct.Struct("<II")  # core_relo off/len, in headers long enough to hold it
_SECTION = struct.Struct("<II")  # name_off, number of records


@dataclass(frozen=True, slots=True)
class FuncInfo:
    """The function that starts at `insn_offset` is the Func `type_id`."""

    insn_offset: int
    type_id: int


@dataclass(frozen=True, slots=True)
class LineInfo:
    """From `insn_offset` on, the code comes from this line. The two string offsets lead to the file's name and the line's text.

    `line` and `column` count from 1; clang writes 0 where it knows neither.
    """

    insn_offset: int
    file_string: int
    text_string: int
    line: int
    column: int


class CoreKind(IntEnum):
    """enum bpf_core_relo_kind, include/uapi/linux/bpf.h."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT_U64 = 4
    FIELD_RSHIFT_U64 = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12


@dataclass(frozen=True, slots=True)
class CoreRelo:
    """The insn at `insn_offset` holds a property (`kind`) of local type `type_id` that another kernel may have otherwise.

    `access` is the path into the type, as indices with the leading one for the pointer itself: "0:1:2"; `access_string` is
    where it lies among the BTF's strings.
    """

    insn_offset: int
    type_id: int
    access: str
    kind: CoreKind
    access_string: int = 0


@dataclass(frozen=True, slots=True)
class BtfExt:
    """Each kind of record by ELF section name, in order of instruction offset."""

    func_info: Mapping[str, tuple[FuncInfo, ...]] = field(default_factory=dict)
    line_info: Mapping[str, tuple[LineInfo, ...]] = field(default_factory=dict)
    core_relos: Mapping[str, tuple[CoreRelo, ...]] = field(default_factory=dict)


def parse_btf_ext(data: bytes, btf: Btf) -> BtfExt:
    """Read a .BTF.ext section, whose strings lie in `btf`. InputError `malformed-btf` when it breaks its rules."""
    if len(data) < _HEADER.size:
        raise malformed(f"{len(data)} bytes are too few for the header of .BTF.ext")
    magic, version, _, header_length, func_at, func_length, line_at, line_length = _HEADER.unpack_from(data)
    if magic != MAGIC or version != 1:
        raise malformed(f".BTF.ext has magic {magic:#06x} and version {version}")
    core_at, core_length = 0, 0
    if _HEADER.size + _CORE_HEADER.size <= header_length <= len(data):
        core_at, core_length = _CORE_HEADER.unpack_from(data, _HEADER.size)

    def part(at: int, length: int) -> bytes:
        if header_length + at + length > len(data):
            raise malformed("the header of .BTF.ext points past the end")
        return data[header_length + at : header_length + at + length]

    return BtfExt(
        func_info={
            name: tuple(FuncInfo(at, type_id) for at, type_id in sorted(rows))
            for name, rows in _sections(part(func_at, func_length), "<II", btf)
        },
        line_info={
            name: tuple(LineInfo(at, file, text, word >> 10, word & 0x3FF) for at, file, text, word in sorted(rows))
            for name, rows in _sections(part(line_at, line_length), "<IIII", btf)
        },
        core_relos={
            name: tuple(_core_relo(btf, *row) for row in sorted(rows))
            for name, rows in _sections(part(core_at, core_length), "<IIII", btf)
        },
    )


def _core_relo(btf: Btf, insn_offset: int, type_id: int, access: int, kind: int) -> CoreRelo:
    try:
        return CoreRelo(insn_offset, type_id, btf.string(access), CoreKind(kind), access)
    except ValueError:
        raise malformed(f"CO-RE relocation kind {kind} is unknown") from None


def _sections(data: bytes, record: str, btf: Btf) -> Iterator[tuple[str, list[tuple[int, ...]]]]:
    """The records of each code section; a record size larger than ours has fields that are newer than this reader."""
    if not data:
        return
    if len(data) < 4:
        raise malformed("a part of .BTF.ext is cut off")
    layout = struct.Struct(record)
    (record_size,) = struct.unpack_from("<I", data)
    if record_size < layout.size:
        raise malformed(f".BTF.ext has records of {record_size} bytes where {layout.size} are needed")
    at = 4
    while at < len(data):
        if at + _SECTION.size > len(data):
            raise malformed("a part of .BTF.ext is cut off")
        name, count = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        end = at + count * record_size
        if end > len(data):
            raise malformed("a part of .BTF.ext is cut off")
        yield btf.string(name), [layout.unpack_from(data, row) for row in range(at, end, record_size)]
        at = end
