"""The maps that an object defines: in .maps by BTF, in legacy `maps` sections by struct, and its data sections.

A BTF-defined map is a struct whose members say the parameters by their types alone (libbpf, bpf_helpers.h):

    __uint(max_entries, 16)  ->  int (*max_entries)[16]          the array's length
    __type(key, __u32)       ->  __u32 *key                      the pointer's target
    __array(values, T)       ->  T *values[]                     the element pointer's target
    __ulong(map_extra, 7)    ->  enum { _1 = 7 } map_extra       the enumerator's value
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.isa.program import MapSpec
from bpfsmith.isa.tables import MAP_TYPE_NAMES
from bpfsmith.objfile.btf import POINTER_BYTES, STATIC, Array, Btf, DataSec, Enum, FuncProto, Member, Ptr, Struct, Var
from bpfsmith.objfile.elf import SHF_ALLOC, SHF_EXECINSTR, ElfFile, Section

BPF_F_RDONLY_PROG, BPF_F_MMAPABLE = 1 << 7, 1 << 10
# Structs that the kernel looks after inside a map value; userspace must not map them (kernel/bpf/btf.c, btf_get_field_type).
KERNEL_OBJECTS = frozenset(
    {"bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer", "bpf_wq", "bpf_list_head", "bpf_list_node", "bpf_rb_root"}
    | {"bpf_rb_node", "bpf_refcount", "bpf_task_work"}
)
_LEGACY = struct.Struct("<IIIII")  # struct bpf_map_def: type, key_size, value_size, max_entries, map_flags


@dataclass(frozen=True, slots=True)
class DefinedMap:
    """A map and where it stands in the file: section index and byte offset, 0 for a data section.

    `entries_at` is where in the definition its `values` array starts.
    """

    spec: MapSpec
    section: int
    offset: int
    entries_at: int = 0


def read_maps(elf: ElfFile, btf: Btf | None, path: str) -> tuple[DefinedMap, ...]:
    """Every map of the object in the order of the file. InputError `malformed-map-definition`."""
    found: list[DefinedMap] = []
    for section in elf.sections.values():
        if section.name == ".maps":
            found += _btf_maps(elf, section, btf, path)
        elif section.name == "maps" or section.name.startswith("maps/"):
            found += _legacy_maps(elf, section, path)
        elif is_data(section):
            found.append(DefinedMap(_data_map(section, btf), section.index, 0))
    return tuple(_with_initial_entries(item, elf, found) for item in found)


def is_data(section: Section) -> bool:
    """Does libbpf make a map of this section: .data, .rodata, .bss, or one of these with a suffix?"""
    if not section.data or not section.flags & SHF_ALLOC or section.flags & SHF_EXECINSTR:
        return False
    return any(section.name == stem or section.name.startswith(stem + ".") for stem in (".data", ".rodata", ".bss"))


def holds_kernel_object(btf: Btf, type_id: int, names: frozenset[str] = KERNEL_OBJECTS) -> bool:
    """Is there, anywhere in this type, a struct of one of these names (a bpf_spin_lock, a bpf_timer, ..)?"""
    pending, seen = [type_id], {type_id}
    while pending:
        inner: list[int] = []
        match btf.resolved(pending.pop()):
            case Struct(name=name) if name in names:
                return True
            case Struct(members=members):
                inner = [member.type_id for member in members]
            case Array(element=element):
                inner = [element]
            case Var(type_id=target):
                inner = [target]
            case DataSec(variables=variables):
                inner = [variable.type_id for variable in variables]
            case _:
                pass
        pending += set(inner) - seen
        seen.update(inner)
    return False


def _data_map(section: Section, btf: Btf | None) -> MapSpec:
    frozen = section.name.startswith(".rodata")
    flags = BPF_F_RDONLY_PROG if frozen else 0
    type_id = btf.find(DataSec, section.name) if btf else None
    if _is_mappable(section.name, btf, type_id):
        flags |= BPF_F_MMAPABLE
    return MapSpec(
        name=section.name,
        type="BPF_MAP_TYPE_ARRAY",
        key_size=4,
        value_size=len(section.data),
        max_entries=1,
        flags=flags,
        value_btf_id=type_id or 0,
        initial=section.data,
        frozen=frozen,
    )


def _is_mappable(name: str, btf: Btf | None, type_id: int | None) -> bool:
    """libbpf maps the three plain sections always, and one with a suffix when userspace can name something in it."""
    if btf is None or type_id is None:
        return True
    if holds_kernel_object(btf, type_id):
        return False
    section = btf[type_id]
    assert isinstance(section, DataSec)
    variables = (btf[item.type_id] for item in section.variables)
    return name in (".data", ".rodata", ".bss") or any(isinstance(v, Var) and v.linkage != STATIC for v in variables)


def _btf_maps(elf: ElfFile, section: Section, btf: Btf | None, path: str) -> Iterator[DefinedMap]:
    datasec = btf.get(DataSec, ".maps") if btf else None
    if btf is None or datasec is None:
        raise InputError(
            Diagnostic(
                "malformed-map-definition",
                f"{path} has a .maps section but no BTF that describes it",
                help="compile with -g, or do not strip .BTF",
            )
        )
    for item in datasec.variables:
        variable = btf[item.type_id]
        if not isinstance(variable, Var):
            raise _malformed(".maps", "an entry of its BTF section is not a variable")
        spec = _spec_from_struct(btf, variable.type_id, variable.name)
        values = (member.bit_offset // 8 for member in btf.members(variable.type_id) if member.name == "values")
        yield DefinedMap(spec, section.index, item.offset, next(values, 0))


def _spec_from_struct(btf: Btf, type_id: int, name: str, depth: int = 0) -> MapSpec:
    definition = btf.resolved(type_id)
    if not isinstance(definition, Struct):
        raise _malformed(name, "its type is not a struct")
    numbers: dict[str, int] = {}
    types: dict[str, int] = {}
    inner: MapSpec | None = None
    for member in definition.members:
        match member.name:
            case "key" | "value":
                types[member.name] = _pointed_to(btf, member, name)
            case "values":
                inner = _inner_map(btf, member, name, depth)
            case "type" | "max_entries" | "map_flags" | "key_size" | "value_size" | "pinning" | "map_extra" | "numa_node":
                numbers[member.name] = _number(btf, member, name)
            case other:
                raise _malformed(name, f"its member {other!r} is unknown")
    map_type = _type_name(name, numbers.get("type", 0))
    sizes = {which: _entry_size(btf, which, numbers, types, name) for which in ("key", "value")}
    if map_type in ("BPF_MAP_TYPE_ARRAY_OF_MAPS", "BPF_MAP_TYPE_HASH_OF_MAPS", "BPF_MAP_TYPE_PROG_ARRAY"):
        sizes["key"], sizes["value"] = sizes["key"] or 4, 4
    return MapSpec(
        name=name,
        type=map_type,
        key_size=sizes["key"],
        value_size=sizes["value"],
        max_entries=numbers.get("max_entries", 0),
        flags=numbers.get("map_flags", 0),
        key_btf_id=types.get("key", 0),
        value_btf_id=types.get("value", 0),
        inner=inner,
        pinning=numbers.get("pinning", 0),
        extra=numbers.get("map_extra", 0),
    )


def _entry_size(btf: Btf, which: str, numbers: Mapping[str, int], types: Mapping[str, int], name: str) -> int:
    stated = numbers.get(f"{which}_size")
    if which not in types:
        return stated or 0
    size = btf.sizeof(types[which])
    if stated not in (None, size):
        raise _malformed(name, f"its {which}_size is {stated} but its {which} type has {size} bytes")
    return size


def _inner_map(btf: Btf, member: Member, name: str, depth: int) -> MapSpec | None:
    """The template of a map of maps; None for an array of program pointers."""
    array = btf.resolved(member.type_id)
    pointer = btf.resolved(array.element) if isinstance(array, Array) else None
    if not isinstance(pointer, Ptr) or depth > 0:
        raise _malformed(name, "its member 'values' is not a flat array of pointers")
    if isinstance(btf.resolved(pointer.target), FuncProto):
        return None
    return _spec_from_struct(btf, pointer.target, f"{name}.inner", depth + 1)


def _number(btf: Btf, member: Member, name: str) -> int:
    match btf.resolved(member.type_id):
        case Ptr(target=target):
            array = btf.resolved(target)
            if isinstance(array, Array):
                return array.length
        case Enum(values=(only,)):
            return only.value
        case _:
            pass
    raise _malformed(name, f"its member {member.name!r} is neither __uint nor __ulong")


def _pointed_to(btf: Btf, member: Member, name: str) -> int:
    pointer = btf.resolved(member.type_id)
    if not isinstance(pointer, Ptr):
        raise _malformed(name, f"its member {member.name!r} is not __type")
    return pointer.target


def _legacy_maps(elf: ElfFile, section: Section, path: str) -> Iterator[DefinedMap]:
    """Definitions that lie in the section as bytes: a struct bpf_map_def, behind which each loader had fields of its own.

    What they say of pins, names and NUMA nodes is the loader's business. For maps of maps it is the inner map: by its index in
    the section where two words follow (samples/bpf), by an id of its own where four do (struct bpf_elf_map of iproute2).
    """
    symbols = [symbol for symbol in elf.defined_in(section) if symbol.kind in ("STT_OBJECT", "STT_NOTYPE")]
    if not symbols:
        return
    stride = len(section.data) // len(symbols)
    specs: list[MapSpec] = []
    more: list[tuple[int, ...]] = []
    for symbol in symbols:
        body = section.data[symbol.value : symbol.value + stride]
        if len(body) < 16:
            raise _malformed(symbol.name, f"its {len(body)} bytes are less than a struct bpf_map_def")
        map_type, key_size, value_size, max_entries, flags = _LEGACY.unpack(body[: _LEGACY.size].ljust(_LEGACY.size, b"\0"))
        specs.append(MapSpec(symbol.name, _type_name(symbol.name, map_type), key_size, value_size, max_entries, flags))
        more.append(struct.unpack_from(f"<{len(body[_LEGACY.size :]) // 4}I", body, _LEGACY.size) if len(body) > 20 else ())
    for symbol, spec, words in zip(symbols, specs, more, strict=True):
        yield DefinedMap(_with_legacy_inner(spec, words, specs, more), section.index, symbol.value)


def _with_legacy_inner(
    spec: MapSpec, words: tuple[int, ...], specs: Sequence[MapSpec], more: Sequence[tuple[int, ...]]
) -> MapSpec:
    """A map of maps with its template; others, and one whose template is not there, as they are."""
    if spec.type not in ("BPF_MAP_TYPE_ARRAY_OF_MAPS", "BPF_MAP_TYPE_HASH_OF_MAPS"):
        return spec
    match words:
        case (index, _) if index < len(specs):
            return replace(spec, inner=specs[index])
        case (_, _, inner_id, _):
            return replace(spec, inner=next((item for item, own in zip(specs, more, strict=True) if own[0] == inner_id), None))
        case _:
            return spec


def _with_initial_entries(item: DefinedMap, elf: ElfFile, all_maps: list[DefinedMap]) -> DefinedMap:
    """Adds what `__array(values, ..) = { [0] = &inner }` puts in: one relocation in .maps for each entry."""
    section = elf.sections[item.section]
    if section.name != ".maps":
        return item
    following = (other.offset for other in all_maps if other.section == item.section and other.offset > item.offset)
    end = min(following, default=len(section.data))
    names = {(other.section, other.offset): other.spec.name for other in all_maps}
    entries = []
    for relocation in section.relocations:
        if item.offset <= relocation.offset < end:
            symbol = relocation.symbol
            addend = int.from_bytes(section.data[relocation.offset : relocation.offset + POINTER_BYTES], "little")
            name = names.get((symbol.section or 0, symbol.value + addend), symbol.name)
            entries.append(((relocation.offset - item.offset - item.entries_at) // POINTER_BYTES, name))
    return replace(item, spec=replace(item.spec, entries=tuple(entries))) if entries else item


def _type_name(name: str, number: int) -> str:
    if number == 0 or number not in MAP_TYPE_NAMES:
        raise _malformed(name, f"its type {number} is unknown")
    return MAP_TYPE_NAMES[number]


def _malformed(name: str, message: str) -> InputError:
    return InputError(
        Diagnostic(
            "malformed-map-definition",
            f"the definition of map {name} is malformed: {message}",
            help="define maps with the __uint, __type, __array and __ulong macros of bpf_helpers.h",
        )
    )
