"""ELF files for the BPF machine, as sections, symbols and relocations; the only module that knows the ELF library.

Everything that is not a little-endian, relocatable, 64-bit BPF object is refused with what was found instead. Nothing in here
knows about programs or maps.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from elftools.common.exceptions import ELFError
from elftools.construct.lib.container import Container
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import Symbol as LibrarySymbol
from elftools.elf.sections import SymbolTableSection

from bpfsmith.diagnostic import Diagnostic, InputError

SHF_ALLOC, SHF_EXECINSTR = 2, 4
# Relocation types, Documentation/bpf/llvm_reloc.rst.
R_BPF_64_64, R_BPF_64_ABS64, R_BPF_64_ABS32, R_BPF_64_NODYLD32, R_BPF_64_32 = 1, 2, 3, 4, 10

_EM_BPF = 247
_ET_REL = 1
# A section without bytes in the file (.bss) may claim any size; the kernel refuses map values beyond this.
_MAX_NOBITS = 1 << 26
# What the ELF library lets through when a table of the file points at nonsense.
_LIBRARY_ERRORS = (
    ELFError,
    struct.error,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    ZeroDivisionError,
    OverflowError,
    AssertionError,
)


@dataclass(frozen=True, slots=True)
class Symbol:
    """`value` is the offset in the section with index `section`, which is None for an undefined or absolute symbol.

    `kind` is "STT_FUNC", "STT_OBJECT", "STT_SECTION" and so on. A section's own symbol carries the section's name.
    """

    name: str
    section: int | None
    value: int
    size: int
    kind: str
    is_local: bool
    is_hidden: bool
    is_weak: bool
    is_undefined: bool


@dataclass(frozen=True, slots=True)
class Relocation:
    """The bytes at `offset` of the section depend on `symbol`; what stands there already is an addend."""

    offset: int
    type: int
    symbol: Symbol


@dataclass(frozen=True, slots=True)
class Section:
    """One section; `data` is zeros for one that has no bytes in the file. `relocations` are by ascending offset."""

    index: int
    name: str
    flags: int
    has_bits: bool
    data: bytes
    relocations: tuple[Relocation, ...] = ()


@dataclass(frozen=True, slots=True)
class ElfFile:
    """`sections` holds those with contents, by index in the file."""

    sections: Mapping[int, Section]
    symbols: tuple[Symbol, ...]

    def section(self, name: str) -> Section | None:
        """The first section of this name."""
        return next((section for section in self.sections.values() if section.name == name), None)

    def defined_in(self, section: Section) -> tuple[Symbol, ...]:
        """The symbols of a section by ascending offset, without the section's own."""
        found = (s for s in self.symbols if s.section == section.index and s.kind != "STT_SECTION" and s.name)
        return tuple(sorted(found, key=lambda symbol: (symbol.value, symbol.is_local, symbol.name)))


def not_an_object(path: str, message: str, *notes: str) -> InputError:
    """The error for a file that is no BPF object at all, or is broken as one."""
    return InputError(
        Diagnostic(
            "not-a-bpf-object",
            f"{path} is not a BPF object: {message}",
            notes=notes,
            help="give a file compiled with `clang -target bpf -g -c`",
        )
    )


def read_elf(data: bytes, path: str) -> ElfFile:
    """Read an ELF file; `path` is for messages. InputError `not-a-bpf-object` says what else it is."""
    _check_header(data, path)
    try:
        return _read(ELFFile(BytesIO(data)), data, path)
    except _LIBRARY_ERRORS as error:
        raise not_an_object(path, "its ELF tables are damaged", f"reading them ended with {error!r}") from error


def _check_header(data: bytes, path: str) -> None:
    """e_ident: 7f 'E' 'L' 'F' | class | data | ...; e_type and e_machine are the halves at 16 and 18."""
    if not data:
        raise not_an_object(path, "the file is empty")
    if not data.startswith(b"\x7fELF"):
        raise not_an_object(path, f"it starts with {data[:4].hex(' ')} where an ELF file has 7f 45 4c 46")
    if len(data) < 64:
        raise not_an_object(path, f"its ELF header is cut off after {len(data)} bytes")
    byte_order = {1: "<", 2: ">"}.get(data[5])
    if byte_order is None:
        raise not_an_object(path, f"its byte order is marked {data[5]}, which is neither little- nor big-endian")
    kind, machine = struct.unpack_from(f"{byte_order}HH", data, 16)
    if machine != _EM_BPF:
        raise not_an_object(path, f"its machine is {_machine_name(machine)}, not BPF ({_EM_BPF})")
    if byte_order == ">":
        raise not_an_object(path, "it is big-endian BPF", "only little-endian BPF is supported")
    if data[4] != 2 or kind != _ET_REL:
        raise not_an_object(
            path, f"it is ELF class {data[4]}, type {kind}, where class 2, type {_ET_REL} (relocatable) is needed"
        )


def _machine_name(number: int) -> str:
    known = {3: "x86 (32 bit)", 62: "x86-64", 40: "Arm", 183: "AArch64", 243: "RISC-V", 21: "PowerPC 64", 22: "S/390"}
    return known.get(number, f"number {number}")


def _read(elf: ELFFile, data: bytes, path: str) -> ElfFile:
    headers = list(elf.iter_sections())
    contents = {i: _contents(s.header, s.name, data, path) for i, s in enumerate(headers) if s.header["sh_type"] != "SHT_NULL"}
    tables = [section for section in headers if isinstance(section, SymbolTableSection)]
    if not tables:
        raise not_an_object(path, "it has no symbol table")
    names = {index: section.name for index, section in enumerate(headers)}
    symbols = tuple(_symbol(entry, names) for entry in tables[0].iter_symbols())
    relocations: dict[int, list[Relocation]] = {}
    for section in headers:
        if isinstance(section, RelocationSection):
            found = relocations.setdefault(section.header["sh_info"], [])
            found += [Relocation(r["r_offset"], r["r_info_type"], symbols[r["r_info_sym"]]) for r in section.iter_relocations()]
    sections = {
        index: Section(
            index,
            names[index],
            headers[index].header["sh_flags"],
            headers[index].header["sh_type"] != "SHT_NOBITS",
            content,
            tuple(sorted(relocations.get(index, ()), key=lambda relocation: relocation.offset)),
        )
        for index, content in contents.items()
    }
    return ElfFile(sections, symbols)


def _contents(header: Container, name: str, data: bytes, path: str) -> bytes:
    start, size = header["sh_offset"], header["sh_size"]
    if header["sh_type"] == "SHT_NOBITS":
        if size > _MAX_NOBITS:
            raise not_an_object(path, f"section {name} claims {size} bytes", f"the most is {_MAX_NOBITS}")
        return bytes(size)
    if start + size > len(data):
        raise not_an_object(path, f"it is cut off: section {name} ends at byte {start + size} of {len(data)}")
    return data[start : start + size]


def _symbol(entry: LibrarySymbol, names: Mapping[int, str]) -> Symbol:
    index = entry["st_shndx"]
    kind = entry["st_info"]["type"]
    section = index if isinstance(index, int) else None
    return Symbol(
        name=names.get(index, "") if kind == "STT_SECTION" and section is not None else entry.name,
        section=section,
        value=entry["st_value"],
        size=entry["st_size"],
        kind=str(kind),
        is_local=entry["st_info"]["bind"] == "STB_LOCAL",
        is_hidden=entry["st_other"]["visibility"] in ("STV_HIDDEN", "STV_INTERNAL"),
        is_weak=entry["st_info"]["bind"] == "STB_WEAK",
        is_undefined=index == "SHN_UNDEF",
    )
