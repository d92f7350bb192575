"""Ids of a kernel's own functions, variables and types: kfunc calls, typed ksyms, programs that attach by type."""

from __future__ import annotations

import struct
from functools import cache, cached_property
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, KernelError
from bpfsmith.objfile.btf import Btf
from bpfsmith.objfile.btf_codec import Kind, LazyBtf, record_bytes
from bpfsmith.objfile.core_relo import essential_name

_BTF = Path("/sys/kernel/btf/vmlinux")
_HEADER = struct.Struct("<HBBIIIII")
# What a section's target is called in the kernel's types: prefix of the name, kind (libbpf, attach_kind_to_name).
_TARGETS = {
    "tp_btf": ("btf_trace_", Kind.TYPEDEF),
    "lsm": ("bpf_lsm_", Kind.FUNC),
    "lsm_cgroup": ("bpf_lsm_", Kind.FUNC),
    "iter": ("bpf_iter_", Kind.FUNC),
    "fentry": ("", Kind.FUNC),
    "fexit": ("", Kind.FUNC),
    "fmod_ret": ("", Kind.FUNC),
    "fsession": ("", Kind.FUNC),
}
_WANTED = frozenset({Kind.FUNC, Kind.TYPEDEF, Kind.VAR, Kind.STRUCT})


class KernelTypes:
    """A kernel's BTF, of which only ids are wanted: parsing all 130,000 types takes a second and a half."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._structs: dict[int, int] = {}

    def id(self, kind: Kind, name: str) -> int | None:
        """The id of the first type of this kind and name."""
        if not self._data:
            return None
        wanted = b"\0" + name.encode() + b"\0"
        at = self._strings.find(wanted)
        while at >= 0:
            found = self._ids.get((int(kind), at + 1))
            if found is not None:
                return found
            at = self._strings.find(wanted, at + 1)
        return None

    @cached_property
    def _strings(self) -> bytes:
        _, _, _, header, _, _, string_at, string_length = _HEADER.unpack_from(self._data)
        return self._data[header + string_at : header + string_at + string_length]

    @cached_property
    def _ids(self) -> dict[tuple[int, int], int]:
        """By kind and place of the name among the strings: a walk over the raw records."""
        _, _, _, header, type_at, type_length, _, _ = _HEADER.unpack_from(self._data)
        ids: dict[tuple[int, int], int] = {}
        at, end, type_id = header + type_at, header + type_at + type_length, 0
        while at < end:
            type_id += 1
            name, info = struct.unpack_from("<II", self._data, at)
            kind, vlen = info >> 24 & 0x1F, info & 0xFFFF
            if kind in _WANTED:
                ids.setdefault((kind, name), type_id)
            if kind == Kind.STRUCT:
                self._structs[type_id] = at
            at += record_bytes(kind, vlen)
        return ids

    def member(self, struct_name: str, member: str) -> tuple[int, int]:
        """The id of a struct and the index of its member. KernelError `unknown-kernel-function` where it lacks either."""
        type_id = _must_have(self, Kind.STRUCT, struct_name)
        at = self._structs[type_id]
        (info,) = struct.unpack_from("<I", self._data, at + 4)
        for index in range(info & 0xFFFF):
            (name,) = struct.unpack_from("<I", self._data, at + 12 + 12 * index)
            if self._strings[name : self._strings.index(0, name)] == member.encode():
                return type_id, index
        raise _missing(f"member {member} in struct {struct_name}")


@cache
def running() -> KernelTypes:
    """The running kernel's types; without any where it has no BTF."""
    try:
        return KernelTypes(_BTF.read_bytes())
    except OSError:
        return KernelTypes(b"")


@cache
def running_btf() -> Btf | None:
    """The running kernel's types, each parsed when it is asked for; None where it has no BTF."""
    try:
        return LazyBtf(_BTF.read_bytes())
    except OSError:
        return None


def kfunc_id(name: str) -> int:
    """The BTF id by which a program calls the kernel function `name`. KernelError `unknown-kernel-function`."""
    return _must_have(running(), Kind.FUNC, essential_name(name))


def named_target(section: str) -> tuple[Kind, str] | None:
    """What a section attaches to ("fentry/do_unlinkat") as kind and name of a kernel's type; None where it names none."""
    stem, _, target = section.removeprefix("?").partition("/")
    prefix, kind = _TARGETS.get(stem.removesuffix(".s"), ("", None))
    return None if kind is None or not target else (kind, prefix + target)


def attach_target(section: str) -> int:
    """The BTF id of what a section attaches to, 0 for sections that name no kernel type.

    KernelError `unknown-kernel-function` where the running kernel does not have it.
    """
    named = named_target(section)
    return _must_have(running(), *named) if named else 0


def _must_have(types: KernelTypes, kind: Kind, name: str) -> int:
    found = types.id(kind, name)
    if found is None:
        raise _missing(f"{kind.name.lower()} called {name}")
    return found


def _missing(what: str) -> KernelError:
    return KernelError(
        Diagnostic(
            "unknown-kernel-function",
            f"this kernel has no {what}",
            notes=(f"searched in {_BTF}",),
            help="check the name, or run on a kernel that has it; modules are not searched",
        )
    )
