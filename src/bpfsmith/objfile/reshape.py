"""Writes an object with other types, other section names, fewer programs, or more functions of the kernel's to call.

What `writer` does not change: it gives functions new code, this gives the file around them a new shape. Programs that go take
their section, symbols, relocations and records along; types are only added to or replaced in their place, so that numbers and
strings that records use stay valid.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bpfsmith.objfile.btf import Btf
from bpfsmith.objfile.btf_codec import encode_btf, parse_btf
from bpfsmith.objfile.btf_ext_codec import ExtSections, encode_ext, parse_raw_ext
from bpfsmith.objfile.elf import ElfFile, read_elf
from bpfsmith.objfile.writer import ElfImage

_SHT_REL, _SHT_SYMTAB, _SHT_STRTAB = 9, 2, 3
_STB_GLOBAL = 1


@dataclass(frozen=True, slots=True)
class Shape:
    """What becomes of an object: `sections` are new names by old ones, `dropped` the sections of programs that go, `functions`
    the kernel functions that are declared beside those there are, `types` the BTF in the place of the old one."""

    types: Btf | None = None
    sections: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    functions: tuple[str, ...] = ()


def raw_types(data: bytes) -> Btf | None:
    """The BTF of an object as it stands in the file: what `Shape.types` has to start from."""
    section = read_elf(data, "<bytes>").section(".BTF")
    return None if section is None else parse_btf(section.data)


def reshaped(data: bytes, shape: Shape, path: str = "<bytes>") -> bytes:
    """The object in its new shape. Sections are named as in the file, with a leading `?` where they have one."""
    elf = read_elf(data, path)
    image = ElfImage.of(data, elf)
    types = _types(elf, shape)
    gone = {index for index, part in enumerate(image.parts) if part.name in shape.dropped}
    gone |= {i for i, part in enumerate(image.parts) if part.type == _SHT_REL and part.info in gone}
    _ext(image, elf, types, shape)
    for part in image.parts:
        if part.name == ".BTF" and types is not None:
            part.data = encode_btf(types)
    _rename(image, shape)
    _declare(image, shape)
    dropped = {index for index, symbol in enumerate(image.symbols) if index and symbol[3] in gone and symbol[3] < 0xFF00}
    return image.written(gone, dropped)


def _types(elf: ElfFile, shape: Shape) -> Btf | None:
    """The new types with the new section names among their strings, where the records of .BTF.ext look them up."""
    section = elf.section(".BTF")
    types = shape.types or (parse_btf(section.data) if section is not None else None)
    if types is None or not shape.sections:
        return types
    strings = types.strings + b"".join(name.encode() + b"\0" for name in shape.sections.values())
    return replace(types, strings=strings)


def _ext(image: ElfImage, elf: ElfFile, types: Btf | None, shape: Shape) -> None:
    """.BTF.ext without the records of what goes, under the new section names; its relocations follow."""
    index = next((i for i, part in enumerate(image.parts) if part.name == ".BTF.ext"), None)
    section = elf.section(".BTF")
    if index is None or types is None or section is None:
        return
    old_types = parse_btf(section.data)
    part = image.parts[index]
    old = parse_raw_ext(part.data)
    table = next((item for item in image.parts if item.type == _SHT_REL and item.info == index), None)
    at = {offset: (offset, info) for offset, info in struct.iter_unpack("<QQ", table.data)} if table else {}
    owners = {name: at[place][1] for place, name in old.places(old_types) if place in at}

    def kept(sections: ExtSections) -> ExtSections:
        out = []
        for name_offset, records in sections:
            name = old_types.string(name_offset)
            if name in shape.dropped:
                continue
            new = shape.sections.get(name)
            out.append((name_offset if new is None else types.strings.index(b"\0" + new.encode() + b"\0") + 1, records))
        return tuple(out)

    new = replace(old, functions=kept(old.functions), lines=kept(old.lines), core=kept(old.core))
    part.data = encode_ext(new)
    if table is not None:
        back = {new_name: old_name for old_name, new_name in shape.sections.items()}
        rows = [
            struct.pack("<QQ", place, owners[back.get(name, name)])
            for place, name in new.places(types)
            if back.get(name, name) in owners
        ]
        table.data = b"".join(rows)


def _rename(image: ElfImage, shape: Shape) -> None:
    if not shape.sections:
        return
    names = image.parts[image.names_index]
    text = bytearray(names.data)
    for part in image.parts:
        new = shape.sections.get(part.name)
        base = part.name.removeprefix(".rel")
        if new is None and part.type == _SHT_REL and base in shape.sections:
            new = f".rel{shape.sections[base]}"
        if new is not None:
            part.header[0] = len(text)
            part.name = new
            text += new.encode() + b"\0"
    names.data = bytes(text)


def _declare(image: ElfImage, shape: Shape) -> None:
    """Undefined global symbols for functions of the kernel's."""
    table = next(part for part in image.parts if part.type == _SHT_SYMTAB)
    names = image.parts[table.header[6]]
    text = bytearray(names.data)
    known = set(image.symbol_names(table))
    for name in shape.functions:
        if name not in known:
            image.symbols.append([len(text), _STB_GLOBAL << 4, 0, 0, 0, 0])
            text += name.encode() + b"\0"
    names.data = bytes(text)
