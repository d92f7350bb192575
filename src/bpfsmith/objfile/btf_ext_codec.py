"""The .BTF.ext section as it lies in the file, for writing it again: records with string offsets instead of strings.

header | func_info: record size, sections | line_info: the same | core_relo: the same
a section is: offset of its name | number of records | records, which begin with the insn's offset in bytes
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.objfile.btf import Btf, malformed

_HEADER = struct.Struct("<HBBIIIIIII")  # with core_relo off/len
_SHORT_HEADER_BYTES = 24
_WORD = struct.Struct("<I")
_SECTION = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class ExtRecord:
    """`offset` is that of the insn in its ELF section, in bytes; `fields` the words behind it."""

    offset: int
    fields: tuple[int, ...]


ExtSections = tuple[tuple[int, tuple[ExtRecord, ...]], ...]
"""For each section of code the offset of its name in the strings, and its records."""


@dataclass(frozen=True, slots=True)
class RawExt:
    """The three parts and the size of a record in each, in bytes (0: the part is not there)."""

    functions: ExtSections
    lines: ExtSections
    core: ExtSections
    record_bytes: tuple[int, int, int]

    def places(self, btf: Btf) -> Iterator[tuple[int, str]]:
        """Where in the encoded section each record's insn offset stands, and the name of its section of code."""
        at = _HEADER.size
        for part, size in zip((self.functions, self.lines, self.core), self.record_bytes, strict=True):
            if not size or not part:
                continue
            at += _WORD.size
            for name, records in part:
                at += _SECTION.size
                for _ in records:
                    yield at, btf.string(name)
                    at += size


def parse_raw_ext(data: bytes) -> RawExt:
    """Read a .BTF.ext section. InputError `malformed-btf`."""
    header = list(_HEADER.unpack(data[: _HEADER.size].ljust(_HEADER.size, b"\0")))
    if len(data) < _SHORT_HEADER_BYTES:
        raise malformed(f"{len(data)} bytes are too few for the header of .BTF.ext")
    length = header[3]
    if length < _HEADER.size:
        header[8:] = [0, 0]
    spans = [data[length + header[i] : length + header[i] + header[i + 1]] for i in (4, 6, 8)]
    sizes = tuple(_WORD.unpack_from(span)[0] if span else 0 for span in spans)
    functions, lines, core = (tuple(_sections(span, size)) for span, size in zip(spans, sizes, strict=True))
    return RawExt(functions, lines, core, (sizes[0], sizes[1], sizes[2]))


def _sections(data: bytes, size: int) -> Iterator[tuple[int, tuple[ExtRecord, ...]]]:
    at = _WORD.size
    while at < len(data):
        name, count = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        records = []
        for row in range(count):
            offset, *fields = struct.unpack_from(f"<{size // 4}I", data, at + row * size)
            records.append(ExtRecord(offset, tuple(fields)))
        at += count * size
        yield name, tuple(records)


def encode_ext(ext: RawExt) -> bytes:
    """The bytes of the section; `parse_raw_ext(encode_ext(ext)) == ext` for parts that are not empty."""
    parts = []
    for part, size in zip((ext.functions, ext.lines, ext.core), ext.record_bytes, strict=True):
        body = b""
        if size and part:
            body = _WORD.pack(size) + b"".join(_encode_section(name, records, size) for name, records in part)
        parts.append(body)
    spans, at = [], 0
    for body in parts:
        spans += [at, len(body)]
        at += len(body)
    return _HEADER.pack(0xEB9F, 1, 0, _HEADER.size, *spans) + b"".join(parts)


def _encode_section(name: int, records: tuple[ExtRecord, ...], size: int) -> bytes:
    rows = (struct.pack(f"<{size // 4}I", record.offset, *_fitted(record.fields, size)) for record in records)
    return _SECTION.pack(name, len(records)) + b"".join(rows)


def _fitted(fields: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Records that are longer than ours end with words that mean nothing yet."""
    words = size // 4 - 1
    return fields[:words] + (0,) * (words - len(fields))
