"""The functions of an object: its code sections cut at their symbols, relocations resolved to names.

What an insn points at after this is in `Insn.symbol`: a map, a data section (offset in the upper half of imm), a function, or a
kernel function. What cannot be resolved is kept as the function's `problems`, so that its neighbours stay usable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bpfsmith.diagnostic import Diagnostic, Label
from bpfsmith.isa.encoding import decode
from bpfsmith.isa.insn import (
    BPF_CALL,
    BPF_JMP,
    BPF_PSEUDO_BTF_ID,
    BPF_PSEUDO_FUNC,
    BPF_PSEUDO_KFUNC_CALL,
    BPF_PSEUDO_MAP_FD,
    BPF_PSEUDO_MAP_VALUE,
    Insn,
    slot_starts,
)
from bpfsmith.isa.program import is_subprogram_reference
from bpfsmith.objfile.btf import Btf, DeclTag, Func
from bpfsmith.objfile.btf_ext import BtfExt, CoreRelo, LineInfo
from bpfsmith.objfile.elf import R_BPF_64_32, R_BPF_64_64, SHF_EXECINSTR, ElfFile, Relocation, Section, Symbol, not_an_object
from bpfsmith.objfile.externs import KCONFIG_SECTION, Extern, ExternKind
from bpfsmith.objfile.maps import DefinedMap, is_data
from bpfsmith.source import Span

SLOT = 8
ARENA_SECTION = ".addr_space.1"
"""Where clang puts variables of address space 1: they lie at the start of the only arena (libbpf, init_arena_map_data)."""
_CALL = BPF_JMP | BPF_CALL


@dataclass(frozen=True, slots=True)
class Function:
    """One function as it stands in its section. `type_id` is its Func in the BTF (0: none).

    `core_relos` have instruction offsets from the start of the function, in bytes. `callbacks` are functions that
    its declaration names (`exception_callback:` tags). `problems` say why it cannot be loaded.
    """

    name: str
    section: str
    insns: tuple[Insn, ...]
    is_global: bool
    type_id: int = 0
    core_relos: tuple[CoreRelo, ...] = ()
    callbacks: tuple[str, ...] = ()
    problems: tuple[Diagnostic, ...] = ()


Place = tuple[int, int]  # section index, byte offset


def read_functions(
    elf: ElfFile, btf: Btf | None, ext: BtfExt, maps: Sequence[DefinedMap], externs: Mapping[str, Extern], path: str
) -> tuple[Function, ...]:
    """Every function of the object in the order of its sections; one that lies outside its section is `not-a-bpf-object`."""
    ranges = [found for section in elf.sections.values() for found in _ranges(elf, section, path)]
    names = _unique_names(ranges)
    arena = next((item.spec.name for item in maps if item.spec.type == "BPF_MAP_TYPE_ARENA"), None)
    targets = _Targets(names, {(item.section, item.offset): item.spec.name for item in maps}, elf.sections, externs, arena)
    functions = []
    for place in ranges:
        section = elf.sections[place.section]
        name = names[place.section, place.start]
        spans = _spans(ext.line_info.get(section.name, ()), btf, place) if btf else {}
        insns, problems = _resolve(section, place, targets, spans)
        functions.append(
            Function(
                name=name,
                section=section.name.removeprefix("?"),
                insns=insns,
                is_global=not place.symbol.is_local and not place.symbol.is_hidden,
                type_id=_type_id(btf, ext, section, place),
                core_relos=tuple(
                    replace(relo, insn_offset=relo.insn_offset - place.start)
                    for relo in ext.core_relos.get(section.name, ())
                    if place.start <= relo.insn_offset < place.end
                ),
                callbacks=_callbacks(btf, _type_id(btf, ext, section, place)),
                problems=tuple(problems),
            )
        )
    return tuple(functions)


def function_places(elf: ElfFile, path: str) -> dict[str, tuple[int, int, int]]:
    """Section index, first and last byte (not included) of every function, by the name that `read_functions` gives it."""
    ranges = [found for section in elf.sections.values() for found in _ranges(elf, section, path)]
    names = _unique_names(ranges)
    return {names[place.section, place.start]: (place.section, place.start, place.end) for place in ranges}


@dataclass(frozen=True, slots=True)
class _Range:
    symbol: Symbol
    section: int
    start: int
    end: int


def _ranges(elf: ElfFile, section: Section, path: str) -> Iterator[_Range]:
    if not section.flags & SHF_EXECINSTR or not section.data:
        return
    end = 0
    for symbol in elf.defined_in(section):
        if symbol.kind != "STT_FUNC" or symbol.value + symbol.size == end:  # an alias adds no code
            continue
        start, end_before, end = symbol.value, end, symbol.value + symbol.size
        if start < end_before or end > len(section.data) or start % SLOT or symbol.size % SLOT or not symbol.size:
            note = f"bytes {start} to {end} of {len(section.data)}"
            raise not_an_object(path, f"function {symbol.name} does not fit into section {section.name}", note)
        yield _Range(symbol, section.index, start, end)


def _unique_names(ranges: Sequence[_Range]) -> dict[Place, str]:
    """The name of the function at each place; static functions of joined files may share one, and get a number."""
    names: dict[Place, str] = {}
    taken: dict[str, int] = {}
    for place in sorted(ranges, key=lambda item: item.symbol.is_local):
        count = taken[place.symbol.name] = taken.get(place.symbol.name, 0) + 1
        names[place.section, place.start] = place.symbol.name if count == 1 else f"{place.symbol.name}.{count}"
    return names


def _type_id(btf: Btf | None, ext: BtfExt, section: Section, place: _Range) -> int:
    for info in ext.func_info.get(section.name, ()):
        if info.insn_offset == place.start:
            return info.type_id
    return (btf.find(Func, place.symbol.name) if btf else None) or 0


def _callbacks(btf: Btf | None, type_id: int) -> tuple[str, ...]:
    """What `__exception_cb(name)` on a function names; libbpf appends it like a callee."""
    prefix = "exception_callback:"
    tags = (item for item in btf.types if isinstance(item, DeclTag)) if btf and type_id else ()
    return tuple(tag.name.removeprefix(prefix) for tag in tags if tag.target == type_id and tag.name.startswith(prefix))


def _spans(lines: Sequence[LineInfo], btf: Btf, place: _Range) -> dict[int, Span | None]:
    """The source position from each byte offset on, offsets counted from the start of the function."""
    found: dict[int, Span | None] = {}
    for line in lines:
        if place.start <= line.insn_offset < place.end:
            span = Span(btf.string(line.file_string), line.line, max(line.column, 1)) if line.line else None
            found[line.insn_offset - place.start] = span
    return found


def _resolve(
    section: Section, place: _Range, targets: _Targets, spans: Mapping[int, Span | None]
) -> tuple[tuple[Insn, ...], list[Diagnostic]]:
    relocations = {item.offset: item for item in section.relocations}
    insns: list[Insn] = []
    problems: list[Diagnostic] = []
    span: Span | None = None
    raw = decode(section.data[place.start : place.end])
    for insn, slot in zip(raw, slot_starts(raw), strict=False):
        offset = slot * SLOT
        span = spans.get(offset, span)
        insn = replace(insn, span=span)
        relocation = relocations.get(place.start + offset)
        try:
            if relocation is not None:
                insn = targets.relocated(insn, relocation)
            elif is_subprogram_reference(insn):
                insn = targets.local_call(insn, section.index, place.start + offset)
        except _Unresolved as unresolved:
            problems.append(replace(unresolved.diagnostic, primary=Label(span) if span else None))
        insns.append(insn)
    return tuple(insns), problems


class _Unresolved(Exception):
    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


@dataclass(frozen=True, slots=True)
class _Targets:
    """What code can point at, by place."""

    functions: Mapping[Place, str]
    maps: Mapping[Place, str]
    sections: Mapping[int, Section]
    externs: Mapping[str, Extern]
    arena: str | None = None  # the map that the variables in address space 1 lie in

    def relocated(self, insn: Insn, relocation: Relocation) -> Insn:
        """The insn with what its relocation points at, Documentation/bpf/llvm_reloc.rst."""
        if relocation.type == R_BPF_64_64 and insn.is_wide:
            return self._address(insn, relocation.symbol)
        if relocation.type == R_BPF_64_32 and insn.opcode == _CALL:
            return self._call(insn, relocation.symbol)
        raise _bad_relocation(f"type {relocation.type} against {relocation.symbol.name}")

    def local_call(self, insn: Insn, section: int, offset: int) -> Insn:
        """A call within its section, which the compiler resolved itself: imm counts slots from the next insn."""
        return self._to_function(insn, (section, offset + SLOT * (insn.imm + 1)), "a call")

    def _call(self, insn: Insn, symbol: Symbol) -> Insn:
        if symbol.section is None:
            if not symbol.is_undefined:
                raise _extern(symbol)
            return replace(insn, src_reg=BPF_PSEUDO_KFUNC_CALL, imm=0, symbol=symbol.name)
        return self._to_function(insn, (symbol.section, symbol.value + SLOT * (insn.imm + 1)), f"a call of {symbol.name}")

    def _address(self, insn: Insn, symbol: Symbol) -> Insn:
        if symbol.section is None:
            return self._extern_address(insn, symbol)
        section = self.sections.get(symbol.section)
        addend = insn.imm & 0xFFFFFFFF
        place = symbol.section, symbol.value + addend
        if place in self.maps and section and not is_data(section):
            return replace(insn, src_reg=BPF_PSEUDO_MAP_FD, imm=0, symbol=self.maps[place])
        if section and section.name == ARENA_SECTION and (arena := self.arena):
            return replace(insn, src_reg=BPF_PSEUDO_MAP_VALUE, imm=place[1] << 32, symbol=arena)
        if section and is_data(section):
            return replace(insn, src_reg=BPF_PSEUDO_MAP_VALUE, imm=place[1] << 32, symbol=self.maps[section.index, 0])
        if section and section.flags & SHF_EXECINSTR:
            return self._to_function(replace(insn, src_reg=BPF_PSEUDO_FUNC), place, f"the address of {symbol.name}")
        raise _bad_relocation(f"{symbol.name} in section {section.name if section else symbol.section}")

    def _extern_address(self, insn: Insn, symbol: Symbol) -> Insn:
        """A kconfig value lies in a map of its own; a symbol of the kernel's stays a name until it is loaded."""
        extern = self.externs.get(symbol.name)
        if extern is None:
            raise _extern(symbol)
        if extern.kind == ExternKind.KCONFIG:
            return replace(insn, src_reg=BPF_PSEUDO_MAP_VALUE, imm=extern.offset << 32, symbol=KCONFIG_SECTION)
        return replace(insn, src_reg=BPF_PSEUDO_BTF_ID, imm=0, symbol=symbol.name)

    def _to_function(self, insn: Insn, place: Place, what: str) -> Insn:
        name = self.functions.get(place)
        if name is None:
            raise _bad_relocation(f"{what} leads to byte {place[1]} of section {place[0]}, where no function starts")
        return replace(insn, imm=0, symbol=name)


def _extern(symbol: Symbol) -> _Unresolved:
    return _Unresolved(
        Diagnostic(
            "unsupported-extern",
            f"the program uses {symbol.name}, which the object declares but does not define",
            notes=("only what is marked __kconfig or __ksym is filled in when the program is loaded",),
            help=f"define {symbol.name} in the object, link the file that defines it, or mark it __kconfig or __ksym",
        )
    )


def _bad_relocation(what: str) -> _Unresolved:
    return _Unresolved(
        Diagnostic(
            "unsupported-relocation",
            f"the program has a relocation that is not supported: {what}",
            help="keep data in .data, .rodata and .bss, maps in .maps, and compile with -fno-jump-tables",
        )
    )
