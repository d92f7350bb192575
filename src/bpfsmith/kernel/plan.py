"""The bpf(2) calls that load programs, as bytes that the loader of a guest replays (guest_loader.c).

    u32 step, then its fields: u32 or u64, little-endian; bytes as u32 length and contents.
    1 BTF    slot, count, the alternatives (the first that the kernel takes is used)
    2 MAP    slot, number, type, key_size, value_size, max_entries, flags, u64 extra, slot of the inner map, slot of the BTF,
             key and value type ids, name, contents of its only element, frozen
    3 PUT    slot of a map of maps, index, slot of the inner map
    4 PROG   number, type, expected_attach_type, flags, kernel version, slot of the BTF, name, license, insns, fixups,
             func_info, line_info, core_relos, kind and name of what it attaches to, member of a struct_ops struct,
             way to make it run (guest.h) and the name for that
    5 CLOSE  forget everything
    6 TYPES  send the kernel's BTF
    7 ATTACH number of a program, how (1 by its type, 2 to a symbol), attach type, flags, the symbol
    8 WORK   so many calls of openat(2)
    9 READ   slot of a map, bytes of its first value

Names of the kernel's own (kfuncs, ksyms, attach targets) stay names: the guest looks them up in its BTF.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bpfsmith.isa import insn as isa
from bpfsmith.isa.encoding import encode
from bpfsmith.isa.insn import Insn, slot_starts
from bpfsmith.isa.program import MapSpec, Program, is_subprogram_reference
from bpfsmith.isa.progtype import for_section
from bpfsmith.isa.tables import MAP_TYPES
from bpfsmith.kernel.attachment import Way, attachment
from bpfsmith.kernel.load import load_flags
from bpfsmith.kernel.maps import WITHOUT_BTF, adjusted
from bpfsmith.kernel.symbols import kconfig_values
from bpfsmith.kernel.vmlinux import named_target
from bpfsmith.objfile.btf import Btf, DeclTag, Enum, Float, Func, Int, Struct, Typedef, TypeTag
from bpfsmith.objfile.btf_codec import Kind, encode_btf, parse_btf
from bpfsmith.objfile.btf_load import ProgramInfo
from bpfsmith.objfile.core_relo import essential_name
from bpfsmith.objfile.externs import KCONFIG_SECTION, Extern, ExternKind
from bpfsmith.objfile.object import Object

_BTF, _MAP, _PUT, _PROG, _CLOSE, _TYPES, _ATTACH, _WORK, _READ = range(1, 10)
_BY_TYPE, _BY_SYMBOL, _ON_RETURN = 1, 2, 1
_FIX_MAP, _FIX_KFUNC, _FIX_VARIABLE, _FIX_ADDRESS = 1, 2, 3, 4
_NONE, _WEAK = 0xFFFFFFFF, 1


@dataclass(frozen=True, slots=True)
class Target:
    """What is known of the guest's kernel beforehand: its release and its configuration, and its types where CO-RE relocations
    are not left to it."""

    release: str
    configuration: Mapping[str, str]
    types: Btf | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """One program to be loaded under a number, with every map of its file; with `attach` it is made to run too."""

    number: int
    program: Program
    maps: tuple[MapSpec, ...]
    obj: Object | None
    attach: bool = False


def plan(loads: Sequence[Load], target: Target) -> bytes:
    """The steps for all programs, each with maps of its own. KernelError for kconfig values that the kernel does not have."""
    return b"".join(_steps(item, target) for item in loads)


def ask_for_types() -> bytes:
    """The plan whose answer is the kernel's BTF."""
    return _u32(_TYPES)


def run(obj: Object, calls: int, target: Target) -> bytes:
    """The steps that load every program of an object, attach them all to what their sections name, make so many calls of
    openat(2), and send what the object's variables hold then: in the order of its data sections."""
    loads = [Load(number, program, obj.maps, obj) for number, program in enumerate(obj.programs)]
    out, slots, btf = _opened(obj.maps, 0, obj, target)
    for item in loads:
        out += _program(replace(item, program=as_multi(item.program)), btf, slots, relocated=False)
    for item in loads:
        out += _attach(item)
    out += _u32(_WORK, calls)
    for spec in obj.maps:
        if spec.initial is not None and not spec.frozen:
            out += _u32(_READ, slots[spec.name], spec.value_size)
    return out + _u32(_CLOSE)


def as_multi(program: Program) -> Program:
    """A kprobe program as one that a link can attach."""
    stem, slash, rest = program.section.partition("/")
    return replace(program, section=f"{stem}.multi{slash}{rest}") if stem in ("kprobe", "kretprobe") else program


def _attach(item: Load) -> bytes:
    section = as_multi(item.program).section
    stem, _, symbol = section.partition("/")
    if "probe" not in stem:
        return _u32(_ATTACH, item.number, _BY_TYPE, 0, 0) + _bytes(b"")
    flags = _ON_RETURN if stem.startswith("kret") else 0
    return _u32(_ATTACH, item.number, _BY_SYMBOL, for_section(section).attach_number, flags) + _bytes(symbol.encode() + b"\0")


def _u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *(value & 0xFFFFFFFF for value in values))


def _bytes(data: bytes) -> bytes:
    return _u32(len(data)) + data


def _steps(item: Load, target: Target) -> bytes:
    out, slots, btf = _opened(item.maps, item.number, item.obj, target)
    if target.types is not None and item.obj is not None:
        item = replace(item, program=item.obj.relocated(item.program, target.types))
    return out + _program(item, btf, slots, relocated=target.types is not None) + _u32(_CLOSE)


def _opened(maps: Sequence[MapSpec], number: int, obj: Object | None, target: Target) -> tuple[bytes, dict[str, int], int]:
    """The steps that make maps and their types, the maps' slots by name, and the slot of the types."""
    btf = _NONE
    out = b""
    if obj is not None and obj.loadable_btf is not None:
        btf = 0
        forms = (obj.loadable_btf, *_older(obj.loadable_btf))
        out += _u32(_BTF, 0, len(forms)) + b"".join(_bytes(form) for form in forms)
    slots: dict[str, int] = {}
    following = 0
    for spec in maps:
        inner = _NONE
        if spec.inner is not None:
            out += _map(following, number, adjusted(spec.inner), btf, _NONE)
            inner, following = following, following + 1
        out += _map(following, number, _of_kernel(adjusted(spec), obj, target), btf, inner)
        slots[spec.name], following = following, following + 1
    for spec in maps:
        if spec.type.endswith("_OF_MAPS"):
            out += b"".join(_u32(_PUT, slots[spec.name], index, slots[name]) for index, name in spec.entries if name in slots)
    return out, slots, btf


def _of_kernel(spec: MapSpec, obj: Object | None, target: Target) -> MapSpec:
    if spec.name != KCONFIG_SECTION or obj is None or obj.btf is None:
        return spec
    return replace(spec, initial=kconfig_values(obj.externs, obj.btf, target.configuration, target.release), frozen=True)


def _map(slot: int, number: int, spec: MapSpec, btf: int, inner: int) -> bytes:
    typed = btf if spec.value_btf_id and spec.type not in WITHOUT_BTF else _NONE
    sizes = (spec.key_size, spec.value_size, spec.max_entries, spec.flags)
    return (
        _u32(_MAP, slot, number, MAP_TYPES[spec.type], *sizes)
        + struct.pack("<Q", spec.extra)
        + _u32(inner, typed, spec.key_btf_id, spec.value_btf_id)
        + _bytes(spec.name.encode()[:15] + b"\0" if spec.name.replace("_", "").isalnum() else b"data\0")
        + _bytes(spec.initial or b"")
        + _u32(int(spec.frozen))
    )


def _program(item: Load, btf: int, slots: Mapping[str, int], *, relocated: bool) -> bytes:
    program, obj = item.program, item.obj
    kind = for_section(program.section)
    info = obj.info_for(program) if obj is not None and btf != _NONE else ProgramInfo()
    linked = program.linked()
    fixups = [
        fixup
        for insn, at in zip(linked, slot_starts(linked), strict=False)
        if insn.symbol is not None and (fixup := _fixup(insn, at, slots, obj.externs if obj else {}))
    ]
    implements = obj.struct_ops.get(program.name) if obj else None
    if implements is not None:
        attach: tuple[int, str, str] = (int(Kind.STRUCT), implements[0], implements[1])
    else:
        named = named_target(program.section)
        attach = (int(named[0]), named[1], "") if named else (0, "", "")
    way, where = attachment(program) if item.attach else (Way.NOT_AT_ALL, "")
    return (
        _u32(_PROG, item.number, kind.number, kind.attach_number, load_flags(kind), obj.kernel_version if obj else 0, btf)
        + _bytes(program.name.encode()[:15] + b"\0" if program.name.replace("_", "").isalnum() else b"program\0")
        + _bytes(program.license.encode() + b"\0")
        + _bytes(encode(_open(insn) for insn in linked))
        + _u32(len(fixups))
        + b"".join(fixups)
        + _bytes(info.func_info)
        + _bytes(info.line_info)
        + _bytes(b"" if relocated else info.core_relos)
        + _u32(attach[0])
        + _bytes(attach[1].encode() + b"\0" if attach[1] else b"")
        + _bytes(attach[2].encode() + b"\0" if attach[2] else b"")
        + _u32(way)
        + _bytes(where.encode() + b"\0" if where else b"")
    )


def _open(insn: Insn) -> Insn:
    """A wide insn whose value the guest fills in; the distance to a function stays."""
    is_filled = insn.symbol and insn.is_wide and not is_subprogram_reference(insn)
    return replace(insn, imm=insn.imm & ~0xFFFFFFFF) if is_filled else insn


def _fixup(insn: Insn, at: int, slots: Mapping[str, int], externs: Mapping[str, Extern]) -> bytes:
    """What the guest fills into an insn: a map's descriptor, an id, an address."""
    name = insn.symbol or ""
    extern = externs.get(name)
    weak = _WEAK if extern is not None and extern.weak else 0
    if insn.is_wide and insn.src_reg in (isa.BPF_PSEUDO_MAP_FD, isa.BPF_PSEUDO_MAP_VALUE):
        return _u32(_FIX_MAP, at, 0, slots[name]) + _bytes(b"")
    if insn.is_wide and insn.src_reg == isa.BPF_PSEUDO_BTF_ID and extern is not None:
        if extern.kind == ExternKind.ADDRESS:
            return _u32(_FIX_ADDRESS, at, weak, 0) + _bytes(name.encode() + b"\0")
        which = Kind.FUNC if extern.kind == ExternKind.FUNCTION else Kind.VAR
        return _u32(_FIX_VARIABLE, at, weak, which) + _bytes(essential_name(name).encode() + b"\0")
    if insn.opcode == isa.BPF_JMP | isa.BPF_CALL and insn.src_reg == isa.BPF_PSEUDO_KFUNC_CALL:
        return _u32(_FIX_KFUNC, at, weak, 0) + _bytes(essential_name(name).encode() + b"\0")
    return b""


def _older(data: bytes) -> tuple[bytes, ...]:
    """The BTF without what kernels before 6.0, and before 5.13, do not know; type ids stay.

    libbpf replaces the same kinds (bpf_object__sanitize_btf).
    """
    btf = parse_btf(data)
    return encode_btf(_without(btf, _before_6_0)), encode_btf(_without(btf, _before_5_13))


def _without(btf: Btf, form: Callable[[Btf, object], object]) -> Btf:
    types = tuple(form(btf, item) for item in btf.types)
    return replace(btf, types=types)  # type: ignore[arg-type]


def _before_6_0(btf: Btf, item: object) -> object:
    match item:
        case Enum(is_enum64=True, name=name, size=size):
            return Struct(name, size, (), is_union=True)
        case _:
            return item


def _before_5_13(btf: Btf, item: object) -> object:
    match item:
        case Enum(is_enum64=True, name=name, size=size):
            return Struct(name, size, (), is_union=True)
        case Float(name=name, size=size):
            return Struct(name, size, ())
        case DeclTag():
            return Int("tag", 4, 32)
        case TypeTag(target=target):
            return Typedef("tag", target)
        case Func(name=name, proto=proto):
            return Func(name, proto, item.linkage)
        case _:
            return item
