"""Writes an object with other code in some of its functions; everything else stays what it was.

    sections of code      laid out anew: functions move, calls between them and relocations follow
    symbols               functions get their new place and size; compiler labels inside replaced code go
    .BTF.ext              function, line and CO-RE records of replaced functions are made anew, others move along
    .BTF, maps, data, license, ..   byte for byte
    .debug_*              left out, as `llvm-strip -g` does: DWARF addresses of replaced code would be wrong

An object of which nothing is replaced comes back byte for byte. Layout: ELF-64 (System V ABI),
Documentation/bpf/llvm_reloc.rst and Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bpfsmith.diagnostic import Diagnostic, InternalError
from bpfsmith.isa.encoding import encode
from bpfsmith.isa.insn import (
    BPF_PSEUDO_BTF_ID,
    BPF_PSEUDO_CALL,
    BPF_PSEUDO_FUNC,
    BPF_PSEUDO_MAP_FD,
    BPF_PSEUDO_MAP_VALUE,
    Insn,
    slot_starts,
)
from bpfsmith.objfile.btf import Btf
from bpfsmith.objfile.btf_codec import parse_btf
from bpfsmith.objfile.btf_ext import CoreRelo
from bpfsmith.objfile.btf_ext_codec import ExtRecord, RawExt, encode_ext, parse_raw_ext
from bpfsmith.objfile.code import SLOT, function_places
from bpfsmith.objfile.elf import R_BPF_64_32, SHF_EXECINSTR, ElfFile, read_elf
from bpfsmith.objfile.object import Object, read_object

_FILE_HEADER_BYTES, _SECTION_OFFSET_AT, _COUNTS_AT = 64, 40, 60
_SECTION = struct.Struct("<IIQQQQIIQQ")  # name type flags addr offset size link info addralign entsize
_SYMBOL = struct.Struct("<IBBHQQ")  # name info other shndx value size
_REL = struct.Struct("<QQ")  # offset, symbol << 32 | type
_SHT_SYMTAB, _SHT_NOBITS, _SHT_REL = 2, 8, 9
_STT_FUNC, _STT_SECTION = 2, 3
_SHN_LORESERVE = 0xFF00


@dataclass(frozen=True, slots=True)
class NewCode:
    """What a function consists of from now on.

    Insns are those of one function as `objfile.object` gives them: symbols for what they point at, jumps within the function,
    source lines in their spans. `core_relos` have instruction offsets from the start of the function, in bytes.
    """

    insns: tuple[Insn, ...]
    core_relos: tuple[CoreRelo, ...] = ()


def rewrite(data: bytes, changes: Mapping[str, NewCode], path: str = "<bytes>") -> bytes:
    """The object `data` with the functions named in `changes` replaced. Names are those of `Object.functions`.

    A function that refers to something which no relocation of the object refers to (another map) is an InternalError.
    """
    obj = read_object(data)
    needed = {name: code for name, code in changes.items() if _differs(obj, name, code)}
    return relaid(data, needed, path) if needed else data


def _differs(obj: Object, name: str, code: NewCode) -> bool:
    function = obj.functions[name]
    return function.insns != code.insns or function.core_relos != code.core_relos


class _Rel(NamedTuple):
    offset: int
    symbol: int
    type: int


@dataclass(slots=True)
class _Part:
    """A section as it will be written: its header and bytes."""

    header: list[int]
    data: bytes
    name: str

    @property
    def type(self) -> int:
        return self.header[1]

    @property
    def info(self) -> int:
        return self.header[7]


class _Place(NamedTuple):
    """A function in its section, in bytes: where it was, and where it is now."""

    name: str
    start: int
    end: int
    new_start: int
    new_end: int


@dataclass(slots=True)
class _Layout:
    """How the functions of one section move."""

    places: list[_Place]

    def moved(self, offset: int) -> int:
        """Where the function starts now that started at `offset`; other places move with the function around them."""
        for place in self.places:
            if place.start <= offset < place.end:
                return place.new_start + min(offset - place.start, place.new_end - place.new_start)
        return self.places[-1].new_end if self.places and offset >= self.places[-1].end else offset


def relaid(data: bytes, changes: Mapping[str, NewCode], path: str = "<bytes>") -> bytes:
    """Like `rewrite`, and lays everything out anew even where nothing changes."""
    return _Writer(data, changes, path).run()


@dataclass(slots=True)
class ElfImage:
    """A file's header, sections and symbols, ready to be written."""

    data: bytes
    parts: list[_Part]
    symbols: list[list[int]]

    @classmethod
    def of(cls, data: bytes, elf: ElfFile) -> ElfImage:
        parts = _read_parts(data, elf)
        table = next(part for part in parts if part.type == _SHT_SYMTAB)
        return cls(data, parts, [list(item) for item in _SYMBOL.iter_unpack(table.data)])

    @property
    def names_index(self) -> int:
        """The section that holds the names of sections."""
        (index,) = struct.unpack_from("<H", self.data, _COUNTS_AT + 2)
        return int(index)

    def symbol_names(self, table: _Part) -> Iterator[str]:
        text = self.parts[table.header[6]].data
        for symbol in self.symbols:
            yield text[symbol[0] : text.index(b"\0", symbol[0])].decode("utf-8", "replace")

    def written(self, parts: set[int], symbols: set[int]) -> bytes:
        """The file without these sections and symbols, everything numbered anew."""
        section_number = _renumbered(len(self.parts), parts)
        symbol_number = _renumbered(len(self.symbols), symbols)
        kept = [symbol for index, symbol in enumerate(self.symbols) if index not in symbols]
        for symbol in kept:
            if symbol[3] < _SHN_LORESERVE:
                symbol[3] = section_number[symbol[3]]
        out = bytearray(self.data[:_FILE_HEADER_BYTES])
        headers = []
        for index, part in enumerate(self.parts):
            if index in parts:
                continue
            header = part.header
            if part.type == _SHT_SYMTAB:
                part.data = b"".join(_SYMBOL.pack(*symbol) for symbol in kept)
                header[7] = sum(1 for symbol in kept if symbol[1] >> 4 == 0)  # sh_info: the first symbol that is not local
            elif part.type == _SHT_REL:
                header[7] = section_number[header[7]]
                fresh = (_REL.pack(rel.offset, symbol_number[rel.symbol] << 32 | rel.type) for rel in _rels(part))
                part.data = b"".join(fresh)
            header[6] = section_number.get(header[6], 0)
            if index:
                out += bytes(-len(out) % max(header[8], 1))
                header[4] = len(out)
                if part.type != _SHT_NOBITS:
                    header[5] = len(part.data)
                    out += part.data
            headers.append(header)
        out += bytes(-len(out) % 8)
        struct.pack_into("<Q", out, _SECTION_OFFSET_AT, len(out))
        (names_index,) = struct.unpack_from("<H", out, _COUNTS_AT + 2)
        struct.pack_into("<HH", out, _COUNTS_AT, len(headers), section_number[names_index])
        for header in headers:
            out += _SECTION.pack(*header)
        return bytes(out)


@dataclass(slots=True)
class _Writer:
    data: bytes
    changes: Mapping[str, NewCode]
    path: str
    elf: ElfFile = field(init=False)
    obj: Object = field(init=False)
    parts: list[_Part] = field(init=False)
    symbols: list[list[int]] = field(init=False)
    layouts: dict[int, _Layout] = field(init=False)
    # (what an insn points at) -> (symbol index, relocation type, what stands in imm)
    known: dict[tuple[int, str, int], tuple[int, int, int]] = field(default_factory=dict)

    def run(self) -> bytes:
        self.elf, self.obj = read_elf(self.data, self.path), read_object(self.data)
        self.parts = _read_parts(self.data, self.elf)
        table = next(part for part in self.parts if part.type == _SHT_SYMTAB)
        self.symbols = [list(item) for item in _SYMBOL.iter_unpack(table.data)]
        self.layouts = self._layouts()
        for index in self.layouts:
            self._learn(index)
        for name, symbol in self._undefined():
            self.known.setdefault((-1, name, 0), (symbol, R_BPF_64_32, -1))
        rels = {index: list(_rels(part)) for index, part in enumerate(self.parts) if part.type == _SHT_REL}
        for index, layout in self.layouts.items():
            self._code(index, layout, rels)
        self._ext(rels)
        self._addends(rels)
        self._symbols()
        for index, found in rels.items():
            self.parts[index].data = b"".join(_REL.pack(rel.offset, rel.symbol << 32 | rel.type) for rel in found)
        table.data = b"".join(_SYMBOL.pack(*item) for item in self.symbols)
        image = ElfImage(self.data, self.parts, self.symbols)
        return image.written(self._dropped_parts(), self._dropped_symbols(rels))

    # --- code ---------------------------------------------------------------------------------------------------------
    def _layouts(self) -> dict[int, _Layout]:
        sections: dict[int, list[tuple[int, int, str]]] = {}
        for name, (section, start, end) in function_places(self.elf, self.path).items():
            sections.setdefault(section, []).append((start, end, name))
        layouts = {}
        for section, ranges in sections.items():
            places, shift = [], 0
            for start, end, name in sorted(ranges):
                size = SLOT * slot_starts(self.changes[name].insns)[-1] if name in self.changes else end - start
                places.append(_Place(name, start, end, start + shift, start + shift + size))
                shift += size - (end - start)
            layouts[section] = _Layout(places)
        return layouts

    def _learn(self, section: int) -> None:
        """What each relocation of the code points at, so that new code can point there too."""
        by_offset = {
            rel.offset: rel for part in self.parts if part.type == _SHT_REL and part.info == section for rel in _rels(part)
        }
        for place in self.layouts[section].places:
            insns = self.obj.functions[place.name].insns
            for insn, slot in zip(insns, slot_starts(insns), strict=False):
                at = place.start + SLOT * slot
                rel = by_offset.get(at)
                if rel is not None and insn.symbol is not None:
                    (imm,) = struct.unpack_from("<i", self.parts[section].data, at + 4)
                    self.known.setdefault(_pointee(insn), (rel.symbol, rel.type, imm))

    def _undefined(self) -> Iterator[tuple[str, int]]:
        """Functions of the kernel's that the object declares: they may be called, also where nothing calls them yet."""
        for index, symbol in enumerate(self.elf.symbols):
            if symbol.is_undefined and symbol.name:
                yield symbol.name, index

    def _code(self, section: int, layout: _Layout, rels: dict[int, list[_Rel]]) -> None:
        """The bytes of a section of code and its relocations."""
        old = self.parts[section].data
        out = bytearray()
        table = next((index for index in rels if self.parts[index].info == section), None)
        found = rels[table] if table is not None else []
        fresh: list[_Rel] = []
        before = 0
        for place in layout.places:
            out += old[before : place.start]
            before = place.end
            if place.name in self.changes:
                code, new = self._encoded(section, place, self.changes[place.name].insns)
            else:
                code = self._moved_calls(section, place, old, found)
                shift = place.new_start - place.start
                new = [rel._replace(offset=rel.offset + shift) for rel in found if place.start <= rel.offset < place.end]
            out += code
            fresh += new
        out += old[before:]
        self.parts[section].data = bytes(out)
        if table is not None:
            rels[table] = fresh
        elif fresh:
            raise _bug(f"section {self.parts[section].name} has no relocations to add to")

    def _moved_calls(self, section: int, place: _Place, old: bytes, found: list[_Rel]) -> bytes:
        """A function that is kept, its calls adjusted to where the called functions are now."""
        code = bytearray(old[place.start : place.end])
        related = {rel.offset: rel for rel in found}
        insns = self.obj.functions[place.name].insns
        for insn, slot in zip(insns, slot_starts(insns), strict=False):
            at = SLOT * slot
            rel = related.get(place.start + at)
            if rel is None and insn.src_reg == BPF_PSEUDO_CALL and insn.symbol in self.obj.functions and not insn.is_wide:
                struct.pack_into("<i", code, at + 4, self._distance(section, insn.symbol, place.new_start + at))
            elif rel is not None and insn.symbol in self.obj.functions:
                (imm,) = struct.unpack_from("<i", code, at + 4)
                struct.pack_into("<i", code, at + 4, self._addend(rel, insn, imm))
        return bytes(code)

    def _distance(self, section: int, name: str | None, at: int) -> int:
        for place in self.layouts[section].places:
            if place.name == name:
                return (place.new_start - at) // SLOT - 1
        raise _bug(f"{name} is called without a relocation from another section")

    def _addend(self, rel: _Rel, insn: Insn, imm: int) -> int:
        """What stands in imm of a relocated reference to a function: the distance from the relocation's symbol."""
        _, info, _, section, value, _ = self.symbols[rel.symbol]
        if info & 15 != _STT_SECTION or section not in self.layouts:
            return imm
        if rel.type == R_BPF_64_32:
            return self.layouts[section].moved(value + SLOT * (imm + 1)) // SLOT - 1
        return self.layouts[section].moved(value + imm)

    def _encoded(self, section: int, place: _Place, insns: tuple[Insn, ...]) -> tuple[bytes, list[_Rel]]:
        plain: list[Insn] = []
        rels: list[_Rel] = []
        for insn, slot in zip(insns, slot_starts(insns), strict=False):
            at = place.new_start + SLOT * slot
            if insn.symbol is None:
                plain.append(insn)
                continue
            target = self._reference(insn)
            if target is not None:
                symbol, kind, imm = target
                rels.append(_Rel(at, symbol, kind))
                imm = self._addend(rels[-1], insn, imm) if insn.symbol in self.obj.functions else imm
                src = self._raw_source(insn)
                plain.append(replace(insn, imm=imm, src_reg=src, symbol=None))
            elif insn.src_reg == BPF_PSEUDO_CALL and not insn.is_wide:
                plain.append(replace(insn, imm=self._distance(section, insn.symbol, at), symbol=None))
            else:
                raise _bug(f"nothing in the object refers to {insn.symbol}")
        return encode(plain), rels

    @staticmethod
    def _raw_source(insn: Insn) -> int:
        """clang leaves src_reg 0 in a relocated wide insn; the loader fills it in."""
        if insn.is_wide:
            return 0
        return BPF_PSEUDO_CALL

    def _reference(self, insn: Insn) -> tuple[int, int, int] | None:
        """Symbol, relocation type and imm for what the insn points at."""
        known = self.known.get(_pointee(insn))
        if known is not None or insn.src_reg != BPF_PSEUDO_MAP_VALUE or not insn.is_wide:
            return known
        # Another place in a data section that is known: count from the same symbol.
        for (source, name, place), (symbol, kind, imm) in self.known.items():
            if source == BPF_PSEUDO_MAP_VALUE and name == insn.symbol:
                return symbol, kind, imm + (insn.imm >> 32) - place
        return None

    # --- what points at code ------------------------------------------------------------------------------------------
    def _ext(self, rels: dict[int, list[_Rel]]) -> None:
        index = next((i for i, part in enumerate(self.parts) if part.name == ".BTF.ext"), None)
        types = self.elf.section(".BTF")
        if index is None or types is None:
            return
        table = next((i for i in rels if self.parts[i].info == index), None)
        section_of = {part.name: i for i, part in enumerate(self.parts) if i in self.layouts}
        btf = parse_btf(types.data)
        owner: dict[str, _Rel] = {}  # which symbol the records of a section are relocated against
        old = parse_raw_ext(self.parts[index].data)
        offsets = {rel.offset: rel for rel in rels[table]} if table is not None else {}
        for at, name in old.places(btf):
            if at in offsets:
                owner.setdefault(name, offsets[at])
        new = self._new_ext(old, btf, section_of, {name: self.symbols[rel.symbol][4] for name, rel in owner.items()})
        self.parts[index].data = encode_ext(new)
        if table is not None:
            rels[table] = [
                owner[name]._replace(offset=at)
                for at, name in parse_raw_ext(self.parts[index].data).places(btf)
                if name in owner
            ]

    def _new_ext(self, old: RawExt, btf: Btf, section_of: Mapping[str, int], base: Mapping[str, int]) -> RawExt:
        accesses = {btf.string(record.fields[1]): record.fields[1] for _, records in old.core for record in records}
        lines = {
            (btf.string(record.fields[0]), record.fields[2] >> 10): record.fields[:2]
            for _, records in old.lines
            for record in records
        }

        def section(kind: str, name_offset: int, records: tuple[ExtRecord, ...]) -> tuple[int, tuple[ExtRecord, ...]]:
            name = btf.string(name_offset)
            index = section_of.get(name)
            if index is None:
                return name_offset, records
            out: list[ExtRecord] = []
            start = base.get(name, 0)
            for place in self.layouts[index].places:
                mine = [record for record in records if place.start <= record.offset + start < place.end]
                change = self.changes.get(place.name)
                if change is None or kind == "functions":
                    shift = place.new_start - place.start
                    out += [replace(record, offset=record.offset + shift) for record in mine]
                elif kind == "core":
                    for relo in change.core_relos:
                        fields = (relo.type_id, accesses[relo.access], int(relo.kind))
                        out.append(ExtRecord(place.new_start - start + relo.insn_offset, fields))
                elif mine:
                    for at, position in _line_records(change.insns, lines):
                        out.append(ExtRecord(place.new_start - start + at, position))
            return name_offset, tuple(out)

        return replace(
            old,
            functions=tuple(section("functions", *item) for item in old.functions),
            lines=tuple(section("lines", *item) for item in old.lines),
            core=tuple(item for item in (section("core", *given) for given in old.core) if item[1]),
        )

    def _addends(self, rels: dict[int, list[_Rel]]) -> None:
        """Data that points into code by section and distance: the distance is to where the function is now."""
        for index, found in rels.items():
            part = self.parts[self.parts[index].info]
            if part.header[2] & SHF_EXECINSTR or part.name.startswith((".debug", ".BTF", ".eh_frame")):
                continue
            data = bytearray(part.data)
            for rel in found:
                _, info, _, section, value, _ = self.symbols[rel.symbol]
                if info & 15 == _STT_SECTION and section in self.layouts and rel.offset + 8 <= len(data):
                    (addend,) = struct.unpack_from("<Q", data, rel.offset)
                    struct.pack_into("<Q", data, rel.offset, self.layouts[section].moved(value + addend) - value)
            part.data = bytes(data)

    def _symbols(self) -> None:
        for symbol in self.symbols:
            _, info, _, section, value, size = symbol
            layout = self.layouts.get(section)
            if layout is None or info & 15 == _STT_SECTION:
                continue
            place = next((item for item in layout.places if item.start == value and item.end == value + size), None)
            symbol[4] = layout.moved(value)
            if place is not None:
                symbol[5] = place.new_end - place.new_start

    # --- the file -----------------------------------------------------------------------------------------------------
    def _dropped_parts(self) -> set[int]:
        dropped = {index for index, part in enumerate(self.parts) if part.name.startswith((".debug", ".llvm_addrsig"))}
        return dropped | {i for i, part in enumerate(self.parts) if part.type == _SHT_REL and part.info in dropped}

    def _dropped_symbols(self, rels: dict[int, list[_Rel]]) -> set[int]:
        """Symbols of dropped sections, and labels inside replaced functions that nothing refers to."""
        gone = self._dropped_parts()
        used = {rel.symbol for index, found in rels.items() if index not in gone for rel in found}
        out = set()
        for index, (_, info, _, section, value, _) in enumerate(self.symbols):
            labels = section in self.layouts and info & 15 == 0 and index not in used
            inside = labels and any(
                place.new_start <= value < place.new_end and place.name in self.changes
                for place in self.layouts[section].places
            )
            if index and (section in gone or inside):
                out.add(index)
        return out


def _renumbered(count: int, dropped: set[int]) -> dict[int, int]:
    return {old: new for new, old in enumerate(index for index in range(count) if index not in dropped)}


_POINTING = (BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE, BPF_PSEUDO_BTF_ID, BPF_PSEUDO_FUNC)


def _pointee(insn: Insn) -> tuple[int, str, int]:
    """What a relocated insn points at: kind, name, and the place in a data section."""
    place = insn.imm >> 32 if insn.is_wide and insn.src_reg == BPF_PSEUDO_MAP_VALUE else 0
    kind = insn.src_reg if insn.is_wide and insn.src_reg in _POINTING else -1
    return kind, insn.symbol or "", place


def _rels(part: _Part) -> Iterator[_Rel]:
    for offset, info in _REL.iter_unpack(part.data):
        yield _Rel(offset, info >> 32, info & 0xFFFFFFFF)


def _read_parts(data: bytes, elf: ElfFile) -> list[_Part]:
    (at,) = struct.unpack_from("<Q", data, _SECTION_OFFSET_AT)
    (count,) = struct.unpack_from("<H", data, _COUNTS_AT)
    parts = []
    for index in range(count):
        header = list(_SECTION.unpack_from(data, at + index * _SECTION.size))
        section = elf.sections.get(index)
        body = data[header[4] : header[4] + header[5]] if section is not None and header[1] != _SHT_NOBITS else b""
        parts.append(_Part(header, body, section.name if section else ""))
    return parts


def _line_records(
    insns: tuple[Insn, ...], lines: Mapping[tuple[str, int], tuple[int, ...]]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Byte offsets at which the source position changes, and the rest of the record; the first is always at the start."""
    before = None
    first = True
    for insn, slot in zip(insns, slot_starts(insns), strict=False):
        span = insn.span
        if span is None or span == before or (span.path, span.line) not in lines:
            continue
        before = span
        yield (0 if first else SLOT * slot), (*lines[span.path, span.line], span.line << 10 | min(span.column, 0x3FF))
        first = False


def _bug(message: str) -> InternalError:
    return InternalError(
        Diagnostic("object-not-written", f"the object cannot be written: {message}", help="please report it with the object")
    )
