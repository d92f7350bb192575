"""The C types that fused objects need beside their own: task storage for a hash, functions of the kernel's to call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bpfsmith.isa.program import MapSpec
from bpfsmith.isa.tables import MAP_TYPES
from bpfsmith.objfile.btf import (
    EXTERN,
    INT_BOOL,
    INT_SIGNED,
    Array,
    Btf,
    BtfType,
    DataSec,
    Func,
    FuncProto,
    Int,
    Member,
    Param,
    Ptr,
    SectionVar,
    Struct,
    Var,
)
from bpfsmith.trace.rewriting import COOKIE, IS_RETURN, Refused, Storage

_NO_PREALLOC = 1


class _Types:
    """Types that grow at the end, so that the numbers of those there are stay."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.items: list[BtfType] = list(btf.types)

    def add(self, item: BtfType) -> int:
        self.items.append(item)
        return len(self.items) - 1

    def integer(self, name: str, size: int, encoding: int = 0) -> int:
        for number, item in enumerate(self.items):
            if isinstance(item, Int) and (item.size, item.bits, item.encoding) == (size, 8 * size, encoding):
                return number
        return self.add(Int(name, size, 8 * size, encoding))

    def number(self, value: int) -> int:
        """`int (*)[value]`: how __uint writes a number."""
        element = self.integer("int", 4, INT_SIGNED)
        return self.add(Ptr(self.add(Array(element, element, value))))

    def done(self) -> Btf:
        return replace(self.btf, types=tuple(self.items))


def with_storage(btf: Btf, spec: MapSpec, storage: Storage) -> Btf:
    """The types with the map's definition that of storage: the value, then the armed word."""
    types = _Types(btf)
    where = next((number for number, item in enumerate(types.items) if isinstance(item, Var) and item.name == spec.name), None)
    section = btf.get(DataSec, ".maps")
    if where is None or section is None:
        raise Refused(f"{spec.name} is not defined by types")
    room = next(item.size for item in section.variables if item.type_id == where)
    word, byte = types.integer("unsigned int", 4), types.integer("unsigned char", 1)
    value = spec.value_btf_id or types.add(Array(byte, types.integer("int", 4, INT_SIGNED), spec.value_size))
    members = (Member("value", value, 0), Member("armed", word, 8 * storage.armed_at))
    struct = types.add(Struct(f"{spec.name}_of_{storage.of}", storage.total_bytes, members))
    fields = [
        ("type", types.number(MAP_TYPES[storage.map_type])),
        ("map_flags", types.number(_NO_PREALLOC)),
        ("key", types.add(Ptr(types.integer("int", 4, INT_SIGNED)))),
        ("value", types.add(Ptr(struct))),
    ]
    step = 64 if room >= 8 * len(fields) else 0  # what stands in .maps is never read: only the types are
    definition = Struct("", room, tuple(Member(name, kind, step * at) for at, (name, kind) in enumerate(fields)))
    old = types.items[where]
    assert isinstance(old, Var)
    types.items[where] = replace(old, type_id=types.add(definition))
    return types.done()


def with_session_functions(btf: Btf, takes_context: bool) -> Btf:
    """The types with the declarations of the session's two functions."""
    types = _Types(btf)
    params: Sequence[Param] = (Param("ctx", types.add(Ptr(0))),) if takes_context else ()
    result = types.add(Ptr(types.integer("unsigned long long", 8)))
    declared = []
    for name, returned in ((IS_RETURN, types.integer("_Bool", 1, INT_BOOL)), (COOKIE, result)):
        prototype = types.add(FuncProto(returned, tuple(params)))
        declared.append(SectionVar(types.add(Func(name, prototype, EXTERN)), 0, 0))
    known = next((n for n, item in enumerate(types.items) if isinstance(item, DataSec) and item.name == ".ksyms"), None)
    if known is None:
        types.add(DataSec(".ksyms", 0, tuple(declared)))
    else:
        section = types.items[known]
        assert isinstance(section, DataSec)
        types.items[known] = replace(section, variables=(*section.variables, *declared))
    return types.done()
