"""What a program uses and its object only declares: `__kconfig` values and `__ksym` symbols, filled in by whoever loads it.

    extern int LINUX_KERNEL_VERSION __kconfig;      section .kconfig: a number of the running kernel's configuration
    extern const void bpf_link_fops __ksym;         section .ksyms, type void: an address of the running kernel
    extern const struct rq runqueues __ksym;        section .ksyms, with a type: a variable of the running kernel, by BTF id

Source: bpf_object__collect_externs, tools/lib/bpf/libbpf.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bpfsmith.isa.program import MapSpec
from bpfsmith.objfile.btf import EXTERN, Btf, DataSec, Func, Var, Void
from bpfsmith.objfile.elf import ElfFile
from bpfsmith.objfile.maps import BPF_F_MMAPABLE, BPF_F_RDONLY_PROG

KCONFIG_SECTION = ".kconfig"


class ExternKind(StrEnum):
    KCONFIG = "kconfig"
    VARIABLE = "typed ksym"
    ADDRESS = "ksym"
    FUNCTION = "kfunc"


@dataclass(frozen=True, slots=True)
class Extern:
    """One symbol. `weak`: zero where the kernel lacks it. A KCONFIG value has `size` bytes at `offset` of its section."""

    name: str
    kind: ExternKind
    type_id: int
    weak: bool
    offset: int = 0
    size: int = 0


def read_externs(elf: ElfFile, btf: Btf | None) -> dict[str, Extern]:
    """The externs of an object by name, those of .kconfig laid out one after the other."""
    if btf is None:
        return {}
    weak = {symbol.name for symbol in elf.symbols if symbol.is_undefined and symbol.is_weak}
    return {item.name: item for item in (*_kconfig(btf, weak), *_ksyms(btf, weak))}


def _entries(btf: Btf, section: str) -> Iterator[Var | Func]:
    datasec = btf.get(DataSec, section)
    for variable in datasec.variables if datasec else ():
        entry = btf[variable.type_id]
        if isinstance(entry, Var | Func) and entry.linkage == EXTERN:
            yield entry


def _kconfig(btf: Btf, weak: set[str]) -> Iterator[Extern]:
    offset = 0
    for entry in _entries(btf, KCONFIG_SECTION):
        if isinstance(entry, Var):
            size = btf.sizeof(entry.type_id)
            yield Extern(entry.name, ExternKind.KCONFIG, entry.type_id, entry.name in weak, offset, size)
            offset += size


def _ksyms(btf: Btf, weak: set[str]) -> Iterator[Extern]:
    for entry in _entries(btf, ".ksyms"):
        match entry:
            case Func(proto=proto):
                yield Extern(entry.name, ExternKind.FUNCTION, proto, entry.name in weak)
            case Var(type_id=type_id):
                kind = ExternKind.ADDRESS if isinstance(btf.resolved(type_id), Void) else ExternKind.VARIABLE
                yield Extern(entry.name, kind, type_id, entry.name in weak)


def kconfig_map(externs: Mapping[str, Extern]) -> MapSpec | None:
    """The map that holds the kconfig values, None when there are none. Its contents are those of the kernel that loads it."""
    size = max((item.offset + item.size for item in externs.values() if item.kind == ExternKind.KCONFIG), default=0)
    if not size:
        return None
    return MapSpec(KCONFIG_SECTION, "BPF_MAP_TYPE_ARRAY", 4, size, 1, BPF_F_RDONLY_PROG | BPF_F_MMAPABLE)
