"""Writes an object with other types, or more functions of the kernel's to call.

What `writer` does not change: it gives functions new code, and `regroup` puts them into other sections. Types are only added to
or replaced in their place, so that numbers and strings that records use stay valid.
"""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.objfile.btf import Btf
from bpfsmith.objfile.btf_codec import encode_btf, parse_btf
from bpfsmith.objfile.elf import read_elf
from bpfsmith.objfile.writer import ElfImage

_SHT_SYMTAB = 2
_STB_GLOBAL = 1


@dataclass(frozen=True, slots=True)
class Shape:
    """What becomes of an object: `functions` are the kernel functions that are declared beside those there are, `types` the BTF
    in the place of the old one."""

    types: Btf | None = None
    functions: tuple[str, ...] = ()


def raw_types(data: bytes) -> Btf | None:
    """The BTF of an object as it stands in the file: what `Shape.types` has to start from."""
    section = read_elf(data, "<bytes>").section(".BTF")
    return None if section is None else parse_btf(section.data)


def reshaped(data: bytes, shape: Shape, path: str = "<bytes>") -> bytes:
    """The object in its new shape."""
    image = ElfImage.of(data, read_elf(data, path))
    for part in image.parts:
        if part.name == ".BTF" and shape.types is not None:
            part.data = encode_btf(shape.types)
    _declare(image, shape)
    return image.written(set(), set())


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
