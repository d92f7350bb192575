"""Writes an object with programs in other sections than they stood in, or without some of them.

A program's hook is the name of its section, which it may share with others: `moved` takes single functions along with their
relocations, symbols and records, and a section that none is left in goes. Layout: ELF-64 (System V ABI).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace

from bpfsmith.isa.insn import slot_starts
from bpfsmith.objfile.btf_codec import encode_btf, parse_btf
from bpfsmith.objfile.btf_ext_codec import ExtRecord, ExtSections, encode_ext, parse_raw_ext
from bpfsmith.objfile.code import SLOT, function_places
from bpfsmith.objfile.elf import ElfFile, read_elf
from bpfsmith.objfile.object import read_object
from bpfsmith.objfile.writer import ElfImage

_SHT_REL, _STT_FUNC, _STT_SECTION = 9, 2, 3
_REL = struct.Struct("<QQ")  # offset, symbol << 32 | type


class NotApart(Exception):
    """A function cannot leave its section; says why in a sentence."""


@dataclass(frozen=True, slots=True)
class _Way:
    """Bytes of an old section that were a function, and the section and byte where it begins now; `to` None: it goes."""

    start: int
    end: int
    to: int | None
    at: int = 0


def regrouped(data: bytes, moved: Mapping[str, str], dropped: Set[str] = frozenset(), path: str = "<bytes>") -> bytes:
    """The object with each function of `moved` in the section that is named there, and without those in `dropped`. Functions
    are named as in `Object.functions`; a leading `?` of their sections stays. Raises NotApart."""
    if not moved and not dropped:
        return data
    elf = read_elf(data, path)
    return _Regrouping(data, elf, ElfImage.of(data, elf), moved, dropped, path).run()


@dataclass(slots=True)
class _Regrouping:
    data: bytes
    elf: ElfFile
    image: ElfImage
    moved: Mapping[str, str]
    dropped: Set[str]
    path: str
    ways: dict[int, list[_Way]] = field(default_factory=dict)  # by the old section
    tables: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # relocations by the section they are for

    def run(self) -> bytes:
        places = function_places(self.elf, self.path)
        touched = {places[name][0] for name in (*self.moved, *self.dropped)}
        self._may_leave(touched)
        rels = {part.info: list(_REL.iter_unpack(part.data)) for part in self.image.parts if part.type == _SHT_REL}
        bodies = {index: part.data for index, part in enumerate(self.image.parts)}
        for index in touched:
            self.image.parts[index].data = b""
        for name, (index, start, end) in sorted(places.items(), key=lambda item: item[1]):
            if index not in touched:
                continue
            target = None if name in self.dropped else self._target(index, self.moved.get(name), rels)
            at = len(self.image.parts[target].data) if target is not None else 0
            self.ways.setdefault(index, []).append(_Way(start, end, target, at))
            if target is not None:
                self.image.parts[target].data += bodies[index][start:end]
        self._relocations(rels)
        gone = {index for index in touched if not self.image.parts[index].data}
        gone |= {i for i, part in enumerate(self.image.parts) if part.type == _SHT_REL and part.info in gone}
        lost = self._symbols(gone)
        self._records(gone)
        return self.image.written(gone, lost)

    def _may_leave(self, touched: Set[int]) -> None:
        """Distances within a section, and from its start, that are not relocated by a function's own symbol."""
        functions = read_object(self.data).functions
        for name, (index, start, _) in function_places(self.elf, self.path).items():
            related = {item.offset for item in self.elf.sections[index].relocations}
            insns = functions[name].insns
            for insn, slot in zip(insns, slot_starts(insns), strict=False):
                if index in touched and insn.symbol in functions and start + SLOT * slot not in related:
                    raise NotApart(f"{name} calls {insn.symbol} in its own section")
        for other in self.elf.sections.values():
            if other.name.startswith((".BTF", ".debug", ".llvm", ".eh_frame")):
                continue
            for item in other.relocations:
                if item.symbol.section in touched and item.symbol.kind == "STT_SECTION":
                    raise NotApart(f"{other.name} points into section {item.symbol.name}")

    def _target(self, index: int, wanted: str | None, rels: dict[int, list[tuple[int, int]]]) -> int:
        """The section of this name, made after the pattern of the old one where there is none."""
        parts, old = self.image.parts, self.image.parts[index]
        if wanted is None:
            return index
        name = "?" * old.name.startswith("?") + wanted
        known = next((i for i, part in enumerate(parts) if part.name == name), None)
        if known is not None:
            return known
        parts.append(replace(old, header=[self._named(name), *old.header[1:]], data=b"", name=name))
        table = next((part for part in parts if part.type == _SHT_REL and part.info == index), None)
        if table is not None:
            header = [self._named(f".rel{name}"), *table.header[1:]]
            header[7] = len(parts) - 1
            parts.append(replace(table, header=header, data=b"", name=f".rel{name}"))
            return len(parts) - 2
        return len(parts) - 1

    def _named(self, name: str) -> int:
        """Where the name of a section stands from now on."""
        names = self.image.parts[self.image.names_index]
        at = len(names.data)
        names.data += name.encode() + b"\0"
        return at

    def _way(self, index: int, offset: int) -> _Way | None:
        return next((way for way in self.ways.get(index, ()) if way.start <= offset < way.end), None)

    def _relocations(self, rels: Mapping[int, list[tuple[int, int]]]) -> None:
        fresh: dict[int, list[tuple[int, int]]] = {}
        for index, ways in self.ways.items():
            for way in ways:
                if way.to is not None:
                    fresh.setdefault(way.to, []).extend(
                        (at - way.start + way.at, info) for at, info in rels.get(index, ()) if way.start <= at < way.end
                    )
        for part in self.image.parts:
            if part.type == _SHT_REL and part.info in fresh:
                kept = [] if part.info in self.ways else rels.get(part.info, [])
                part.data = b"".join(_REL.pack(*item) for item in sorted((*kept, *fresh[part.info])))

    def _symbols(self, gone: Set[int]) -> set[int]:
        """Puts symbols where their code is now; those that lose it."""
        lost = set()
        for index, symbol in enumerate(self.image.symbols):
            _, info, _, section, value, _ = symbol
            if section not in self.ways or info & 15 == _STT_SECTION:
                if index and section in gone:
                    lost.add(index)
                continue
            way = self._way(section, value)
            if way is None or way.to is None:
                lost.add(index)
            else:
                symbol[3], symbol[4] = way.to, value - way.start + way.at
        return lost

    # --- .BTF.ext -----------------------------------------------------------------------------------------------------
    def _records(self, gone: Set[int]) -> None:
        """Records of functions under the names of the sections that they are in now."""
        parts, section = self.image.parts, self.elf.section(".BTF")
        index = next((i for i, part in enumerate(parts) if part.name == ".BTF.ext"), None)
        if section is None or index is None:
            return
        types = parse_btf(section.data)
        fresh = sorted({parts[way.to].name for ways in self.ways.values() for way in ways if way.to is not None})
        types = replace(types, strings=types.strings + b"".join(name.encode() + b"\0" for name in fresh))
        number = {part.name: i for i, part in reversed(list(enumerate(parts)))}
        old = parse_raw_ext(parts[index].data)

        def moved(sections: ExtSections) -> ExtSections:
            out: dict[str, list[ExtRecord]] = {}
            for name_offset, records in sections:
                name = types.string(name_offset)
                for record in records:
                    if number[name] not in self.ways:
                        out.setdefault(name, []).append(record)
                        continue
                    way = self._way(number[name], record.offset)
                    if way is not None and way.to is not None:
                        here = replace(record, offset=record.offset - way.start + way.at)
                        out.setdefault(parts[way.to].name, []).append(here)
            at = {name: types.strings.index(b"\0" + name.encode() + b"\0") + 1 for name in out}
            return tuple((at[name], tuple(sorted(rows, key=lambda row: row.offset))) for name, rows in out.items())

        new = replace(old, functions=moved(old.functions), lines=moved(old.lines), core=moved(old.core))
        for part in parts:
            if part.name == ".BTF":
                part.data = encode_btf(types)
        table = next((part for part in parts if part.type == _SHT_REL and part.info == index), None)
        if table is not None:
            kind = next((info & 0xFFFFFFFF for _, info in _REL.iter_unpack(table.data)), 0)
            starts = dict(self._starts(gone))
            rows = ((at, starts[number[name]]) for at, name in new.places(types) if number[name] in starts)
            table.data = b"".join(_REL.pack(at, symbol << 32 | kind) for at, symbol in rows)
        parts[index].data = encode_ext(new)

    def _starts(self, gone: Set[int]) -> Iterator[tuple[int, int]]:
        """For each section of code a symbol that stands at its start: what records of it are relocated against."""
        for index, (_, info, _, section, value, _) in reversed(list(enumerate(self.image.symbols))):
            if section not in gone and value == 0 and info & 15 in (_STT_FUNC, _STT_SECTION):
                yield section, index
