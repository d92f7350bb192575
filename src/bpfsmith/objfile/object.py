"""A BPF object file as a value: its programs, maps, types and variables."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError, Unsupported
from bpfsmith.isa.insn import Insn, slot_starts
from bpfsmith.isa.program import MapSpec, Program, Subprogram, is_subprogram_reference
from bpfsmith.objfile.btf import Btf, DataSec, Struct, Var
from bpfsmith.objfile.btf_codec import parse_btf
from bpfsmith.objfile.btf_ext import BtfExt, CoreRelo, LineInfo, parse_btf_ext
from bpfsmith.objfile.btf_load import ProgramInfo, core_record, loadable_btf, program_info, with_section_sizes
from bpfsmith.objfile.code import Function, read_functions
from bpfsmith.objfile.core_relo import relocate
from bpfsmith.objfile.elf import (
    R_BPF_64_ABS32,
    R_BPF_64_ABS64,
    R_BPF_64_NODYLD32,
    ElfFile,
    Section,
    read_elf,
)
from bpfsmith.objfile.externs import KCONFIG_SECTION, Extern, kconfig_map, read_externs
from bpfsmith.objfile.maps import DefinedMap, is_data, read_maps


@dataclass(frozen=True, slots=True)
class Variable:
    """A global variable: `size` bytes at `offset` of a data section; `btf_type` is the id of its C type (0: unknown)."""

    name: str
    section: str
    offset: int
    size: int
    btf_type: int = 0


@dataclass(frozen=True, eq=False)
class Object:
    """One object file. `programs` are those that can be loaded; for the others `program()` says what is in the way.

    `functions` holds every function, programs and subprograms alike, by name; `license` is empty when the object states none.
    """

    path: str
    programs: tuple[Program, ...]
    maps: tuple[MapSpec, ...]
    btf: Btf | None = None
    license: str = ""
    kernel_version: int = 0
    variables: tuple[Variable, ...] = ()
    functions: Mapping[str, Function] = field(default_factory=dict)
    problems: Mapping[str, tuple[Diagnostic, ...]] = field(default_factory=dict)
    lines: Mapping[tuple[str, int], LineInfo] = field(default_factory=dict)
    externs: Mapping[str, Extern] = field(default_factory=dict)
    struct_ops: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Programs that implement a member of a kernel's struct, by name: the struct and the member."""

    def program(self, name: str) -> Program:
        """The program called `name`.

        InputError `unknown-program` lists the names there are; Unsupported says why one that is there cannot be loaded.
        """
        for program in self.programs:
            if program.name == name:
                return program
        if name in self.problems:
            raise Unsupported(*self.problems[name])
        names = [program.name for program in self.programs] + list(self.problems)
        raise InputError(
            Diagnostic(
                "unknown-program",
                f"{self.path} has no program called {name}",
                notes=(f"its programs are: {', '.join(names)}" if names else "it has no programs",),
                help="name one of them",
            )
        )

    def map(self, name: str) -> MapSpec:
        """The map or data section called `name`; InputError `unknown-map`."""
        for spec in self.maps:
            if spec.name == name:
                return spec
        names = ", ".join(spec.name for spec in self.maps)
        note = f"its maps are: {names}" if names else "it has no maps"
        raise InputError(
            Diagnostic("unknown-map", f"{self.path} has no map called {name}", notes=(note,), help="name one of them")
        )

    def variable(self, name: str) -> Variable:
        """The global variable called `name`; a static one within a function is `function.name`.

        The bare name will do where it is unique. InputError `unknown-variable`.
        """
        found = [item for item in self.variables if item.name == name]
        if not found:
            found = [item for item in self.variables if item.name.endswith(f".{name}")]
        if len(found) == 1:
            return found[0]
        names = ", ".join(item.name for item in found or self.variables)
        reason = "more than one variable" if found else "no variable"
        raise InputError(
            Diagnostic(
                "unknown-variable",
                f"{self.path} has {reason} called {name}",
                notes=(f"its variables are: {names}" if names else "it has no variables",),
                help="name one of them",
            )
        )

    def info_for(self, program: Program) -> ProgramInfo:
        """The function and line records for loading `program`: one of this object's, or a rewritten form of one."""
        if self.btf is None:
            return ProgramInfo()
        type_ids = {name: function.type_id for name, function in self.functions.items()}
        info = program_info(program, type_ids, self.lines)
        return replace(info, core_relos=self._core_records(program))

    def relocated(self, program: Program, kernel: Btf) -> Program:
        """The program with its CO-RE relocations applied for a kernel with these types; functions that were rewritten, whose
        offsets moved, stay as they are. Raises `core_relo.Ambiguous`."""

        def applied(name: str, insns: tuple[Insn, ...]) -> tuple[Insn, ...]:
            function = self.functions.get(name)
            if self.btf is None or function is None or function.insns != insns or not function.core_relos:
                return insns
            return relocate(insns, function.core_relos, self.btf, kernel)

        subprograms = tuple(replace(sub, insns=applied(sub.name, sub.insns)) for sub in program.subprograms)
        return replace(program, insns=applied(program.name, program.insns), subprograms=subprograms)

    def _core_records(self, program: Program) -> bytes:
        """The CO-RE relocations that the kernel is to apply; none in a rewritten function, whose offsets moved."""
        records: list[bytes] = []
        start = 0
        for name, insns in ((program.name, program.insns), *((sub.name, sub.insns) for sub in program.subprograms)):
            function = self.functions.get(name)
            if function is not None and function.insns == insns:
                records += (core_record(relo, start) for relo in function.core_relos)
            start += slot_starts(insns)[-1] * 8
        return b"".join(records)

    def core_relos(self, program: Program) -> Mapping[str, tuple[CoreRelo, ...]]:
        """The CO-RE relocations of each function of `program` that has any; offsets from the function's start in bytes."""
        names = (program.name, *(sub.name for sub in program.subprograms))
        found = {name: self.functions[name].core_relos for name in names if name in self.functions}
        return {name: relos for name, relos in found.items() if relos}

    @cached_property
    def loadable_btf(self) -> bytes | None:
        """The BTF as BPF_BTF_LOAD accepts it, None when the object has none."""
        if self.btf is None:
            return None
        return loadable_btf(self.btf, frozenset(f.name for f in self.functions.values() if not f.is_global))


def read_object(source: str | Path | bytes) -> Object:
    """Read a BPF object from a path or from its bytes.

    InputError: `unreadable-file`, `not-a-bpf-object` for anything that is no little-endian BPF object, `malformed-btf`,
    `malformed-map-definition`. What keeps single programs from loading is not an error here: see `Object.program`.
    """
    path = "<bytes>" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _read_file(Path(source))
    elf = read_elf(data, path)
    btf, ext = _read_types(elf)
    externs = read_externs(elf, btf)
    maps = read_maps(elf, btf, path)
    functions = {function.name: function for function in read_functions(elf, btf, ext, maps, externs, path)}
    kconfig = kconfig_map(externs)
    if kconfig is not None:
        kconfig = replace(kconfig, value_btf_id=(btf.find(DataSec, KCONFIG_SECTION) if btf else None) or 0)
        maps = (*maps, DefinedMap(kconfig, 0, 0))
    license_ = _c_string(elf.section("license"))
    programs: list[Program] = []
    problems: dict[str, tuple[Diagnostic, ...]] = {}
    for entry in _entry_functions(functions):
        reached = _reached(entry, functions)
        found = tuple(problem for function in reached for problem in function.problems)
        if found:
            problems[entry.name] = found
            continue
        programs.append(_program(entry, reached, maps, license_))
    return Object(
        path=path,
        programs=tuple(programs),
        maps=tuple(item.spec for item in maps),
        btf=btf,
        license=license_,
        kernel_version=_version(elf.section("version")),
        variables=tuple(_variables(elf, btf)),
        functions=functions,
        problems=problems,
        lines=_line_table(btf, ext),
        externs=externs,
        struct_ops=dict(_struct_ops(elf, btf)),
    )


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            Diagnostic("unreadable-file", f"{path} cannot be read: {error.strerror}", help="check the path and its permissions")
        ) from error


def _read_types(elf: ElfFile) -> tuple[Btf | None, BtfExt]:
    section = elf.section(".BTF")
    if section is None:
        return None, BtfExt()
    sizes = {item.name: len(item.data) for item in elf.sections.values()}
    btf = with_section_sizes(parse_btf(_relocated(section)), sizes)
    ext = elf.section(".BTF.ext")
    return btf, parse_btf_ext(_relocated(ext), btf) if ext else BtfExt()


def _relocated(section: Section) -> bytes:
    """A section of types with its variable and insn offsets filled in: 32-bit words, the addend standing in them."""
    data = bytearray(section.data)
    for relocation in section.relocations:
        known = relocation.type in (R_BPF_64_NODYLD32, R_BPF_64_ABS32, R_BPF_64_ABS64)
        if known and relocation.offset + 4 <= len(data):
            (addend,) = struct.unpack_from("<I", data, relocation.offset)
            struct.pack_into("<I", data, relocation.offset, addend + relocation.symbol.value & 0xFFFFFFFF)
    return bytes(data)


def _entry_functions(functions: Mapping[str, Function]) -> list[Function]:
    """The functions that are programs: all outside .text, or, in an object with nothing else, the global ones there."""
    named = [function for function in functions.values() if function.section != ".text"]
    return named or [function for function in functions.values() if function.is_global]


def _reached(entry: Function, functions: Mapping[str, Function]) -> tuple[Function, ...]:
    """The entry and every function that it calls or points at, in the order a depth-first walk meets them."""
    order = [entry.name]
    pending = list(reversed(_callees(entry)))
    while pending:
        name = pending.pop()
        if name not in order:
            order.append(name)
            pending += reversed(_callees(functions[name]))
    return tuple(functions[name] for name in order)


def _callees(function: Function) -> list[str]:
    called = [insn.symbol for insn in function.insns if insn.symbol and is_subprogram_reference(insn)]
    return called + list(function.callbacks)


def _program(entry: Function, reached: tuple[Function, ...], maps: tuple[DefinedMap, ...], license_: str) -> Program:
    insns: Iterator[Insn] = (insn for function in reached for insn in function.insns)
    used = {insn.symbol for insn in insns if insn.symbol and not is_subprogram_reference(insn)}
    used |= {name for item in maps if item.spec.name in used for _, name in item.spec.entries}
    return Program(
        name=entry.name,
        section=entry.section,
        insns=entry.insns,
        maps=tuple(item.spec for item in maps if item.spec.name in used),
        subprograms=tuple(Subprogram(function.name, function.insns, function.is_global) for function in reached[1:]),
        license=license_,
    )


def _struct_ops(elf: ElfFile, btf: Btf | None) -> Iterator[tuple[str, tuple[str, str]]]:
    """Which program the members of the structs in .struct_ops point to: a relocation where the pointer stands."""
    names = {(symbol.section, symbol.value): symbol.name for symbol in elf.symbols if symbol.kind == "STT_FUNC"}
    for section in elf.sections.values():
        datasec = btf.get(DataSec, section.name) if btf and section.name in (".struct_ops", ".struct_ops.link") else None
        for variable in datasec.variables if datasec and btf else ():
            entry = btf[variable.type_id] if btf else None
            struct_type = btf.resolved(entry.type_id) if btf and isinstance(entry, Var) else None
            if not isinstance(struct_type, Struct):
                continue
            places = {variable.offset + member.bit_offset // 8: member.name for member in struct_type.members}
            for relocation in section.relocations:
                program = names.get((relocation.symbol.section, relocation.symbol.value))
                if relocation.offset in places and program:
                    yield program, (struct_type.name.partition("___")[0], places[relocation.offset])


def _c_string(section: Section | None) -> str:
    return section.data.split(b"\0")[0].decode("utf-8", "replace") if section else ""


def _version(section: Section | None) -> int:
    return int.from_bytes(section.data[:4], "little") if section else 0


def _variables(elf: ElfFile, btf: Btf | None) -> Iterator[Variable]:
    """The variables by section and offset: as ELF symbols name them, with the type of what BTF has at the same place."""
    for section in elf.sections.values():
        if not is_data(section):
            continue
        typed = _typed_variables(section.name, btf) if btf else {}
        for symbol in elf.defined_in(section):
            if symbol.kind == "STT_OBJECT":
                plain = Variable(symbol.name, section.name, symbol.value, symbol.size)
                typed[symbol.value] = replace(typed.get(symbol.value, plain), name=symbol.name)
        yield from (typed[offset] for offset in sorted(typed))


def _typed_variables(section: str, btf: Btf) -> dict[int, Variable]:
    datasec = btf.get(DataSec, section)
    entries = [(item, btf[item.type_id]) for item in datasec.variables] if datasec else []
    return {
        item.offset: Variable(entry.name, section, item.offset, item.size, entry.type_id)
        for item, entry in entries
        if isinstance(entry, Var)
    }


def _line_table(btf: Btf | None, ext: BtfExt) -> dict[tuple[str, int], LineInfo]:
    if btf is None:
        return {}
    records = (record for section in ext.line_info.values() for record in section)
    return {(btf.string(record.file_string), record.line): record for record in records}
