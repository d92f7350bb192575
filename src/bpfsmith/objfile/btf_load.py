"""BTF as BPF_BTF_LOAD takes it, and the function and line records of one program as BPF_PROG_LOAD takes them.

clang leaves to the loader what only the linked file knows, and emits some things that the kernel's checker
(kernel/bpf/btf.c) refuses. libbpf patches the same ones: bpf_object__sanitize_btf and bpf_object__collect_externs.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bpfsmith.isa.insn import Insn, slot_starts
from bpfsmith.isa.program import Program
from bpfsmith.objfile.btf import (
    EXTERN,
    GLOBAL,
    INT_SIGNED,
    STATIC,
    Btf,
    BtfType,
    DataSec,
    Enum,
    Func,
    FuncProto,
    Fwd,
    Int,
    SectionVar,
    Struct,
    Typedef,
    Var,
    Void,
)
from bpfsmith.objfile.btf_codec import encode_btf
from bpfsmith.objfile.btf_ext import CoreRelo, LineInfo
from bpfsmith.source import Span

_FUNC_INFO = struct.Struct("<II")  # struct bpf_func_info
_LINE_INFO = struct.Struct("<IIII")  # struct bpf_line_info
_CORE_RELO = struct.Struct("<IIII")  # struct bpf_core_relo
FUNC_INFO_BYTES, LINE_INFO_BYTES, CORE_RELO_BYTES = _FUNC_INFO.size, _LINE_INFO.size, _CORE_RELO.size


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel is told of a program beside its insns: arrays of struct bpf_func_info, bpf_line_info and bpf_core_relo.

    Offsets in the first two count slots of the linked program, and bytes in the third. The first two are empty when the kernel
    would refuse them as incomplete.
    """

    func_info: bytes = b""
    line_info: bytes = b""
    core_relos: bytes = b""


def with_section_sizes(btf: Btf, sizes: Mapping[str, int]) -> Btf:
    """The BTF with the size of each section filled in where clang left 0, and its variables in order."""

    def sized(item: BtfType) -> BtfType:
        if not isinstance(item, DataSec):
            return item
        variables = tuple(sorted(item.variables, key=lambda variable: variable.offset))
        return replace(item, size=item.size or sizes.get(item.name, 0), variables=variables)

    return Btf(tuple(map(sized, btf.types)), btf.strings)


def loadable_btf(btf: Btf, static_functions: frozenset[str] = frozenset()) -> bytes:
    """The bytes for BPF_BTF_LOAD. Type ids stay what they are; `static_functions` are global only in C (hidden visibility)."""
    int_id, placeholder_id = len(btf.types), len(btf.types) + 1
    prototypes = {item.proto for item in btf.types if isinstance(item, Func)}

    def accepted(type_id: int, item: BtfType) -> BtfType:
        match item:
            case Func():
                static = item.linkage == STATIC or item.name in static_functions
                return replace(item, name=_identifier(item.name), linkage=STATIC if static else GLOBAL)
            case Var(linkage=linkage):
                target = item.type_id if linkage != EXTERN or _has_size(btf, item.type_id) else int_id
                linkage = STATIC if linkage == STATIC else GLOBAL
                return replace(item, name=_identifier(item.name), type_id=target, linkage=linkage)
            case DataSec():
                return _with_definitions(btf, item, placeholder_id)
            case Struct() | Fwd() | Typedef() | Enum():
                return replace(item, name=_identifier(item.name))
            case FuncProto() if type_id in prototypes:
                return _with_names(item)
            case _:
                return item

    types = tuple(accepted(type_id, item) for type_id, item in enumerate(btf.types))
    placeholder = (Int("int", 4, 32, INT_SIGNED), Var("bpfsmith_extern", int_id, GLOBAL))
    return encode_btf(Btf(types + placeholder if _has_externs(btf) else types, btf.strings))


def _has_externs(btf: Btf) -> bool:
    return any(isinstance(item, Func | Var) and item.linkage == EXTERN for item in btf.types)


def _has_size(btf: Btf, type_id: int) -> bool:
    return not isinstance(btf.resolved(type_id), Void | FuncProto | Fwd)


def _with_definitions(btf: Btf, section: DataSec, placeholder_id: int) -> DataSec:
    """A section of externs (.ksyms, .kconfig) as if it defined them, one after the other: the kernel knows no externs."""
    entries = [btf[variable.type_id] for variable in section.variables]
    if not any(isinstance(entry, Func | Var) and entry.linkage == EXTERN for entry in entries):
        return section
    variables: list[SectionVar] = []
    offset = 0
    for variable, entry in zip(section.variables, entries, strict=True):
        is_variable = isinstance(entry, Var) and _has_size(btf, entry.type_id)
        size = btf.sizeof(variable.type_id) if is_variable else 4
        type_id = variable.type_id if isinstance(entry, Var) else placeholder_id
        variables.append(SectionVar(type_id, offset, size))
        offset += size
    return replace(section, size=offset, variables=tuple(variables))


def _with_names(prototype: FuncProto) -> FuncProto:
    """Parameters of a named function must have names; those of extern functions may lack them."""
    params = (
        replace(param, name=_identifier(param.name) or f"arg{index}") if param.type_id else param
        for index, param in enumerate(prototype.params)
    )
    return replace(prototype, params=tuple(params))


def _identifier(name: str) -> str:
    """A name as the kernel allows it (btf_name_valid_identifier); compilers other than C's write `Option<u32>`."""
    return re.sub(r"[^A-Za-z0-9_.]|^(?=[0-9])", "_", name)


def program_info(program: Program, type_ids: Mapping[str, int], lines: Mapping[tuple[str, int], LineInfo]) -> ProgramInfo:
    """The records for a program, whether or not its insns are still those of the object.

    `type_ids` has the Func of each function by name; `lines` a record of the object for each (path, line). Positions come from
    the spans of the insns.
    """
    func_info: list[bytes] = []
    line_info: list[bytes] = []
    functions_known, lines_known = True, True
    start = 0
    for name, insns in ((program.name, program.insns), *((sub.name, sub.insns) for sub in program.subprograms)):
        functions_known &= bool(type_ids.get(name))
        func_info.append(_FUNC_INFO.pack(start, type_ids.get(name, 0)))
        records = list(_line_records(insns, lines))
        lines_known &= bool(records)
        for index, (slot, record) in enumerate(records):
            # The kernel wants a line at the very start of each function.
            line_info.append(_pack_line(start + (slot if index else 0), record))
        start += slot_starts(insns)[-1]
    return ProgramInfo(
        b"".join(func_info) if functions_known else b"",
        b"".join(line_info) if lines_known else b"",
    )


def _line_records(insns: tuple[Insn, ...], lines: Mapping[tuple[str, int], LineInfo]) -> Iterator[tuple[int, LineInfo]]:
    """The slots at which the source position changes, and the position from there on."""
    before: Span | None = None
    for insn, slot in zip(insns, slot_starts(insns), strict=False):
        span = insn.span
        if span is None or span == before:
            continue
        before = span
        record = lines.get((span.path, span.line))
        if record is not None:
            yield slot, replace(record, column=span.column)


def core_record(relo: CoreRelo, function_start: int) -> bytes:
    """A relocation of a function that starts `function_start` bytes into the linked program."""
    return _CORE_RELO.pack(function_start + relo.insn_offset, relo.type_id, relo.access_string, relo.kind)


def _pack_line(slot: int, record: LineInfo) -> bytes:
    return _LINE_INFO.pack(slot, record.file_string, record.text_string, record.line << 10 | min(record.column, 0x3FF))
