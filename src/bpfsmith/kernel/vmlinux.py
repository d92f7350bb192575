"""Ids of the running kernel's own functions and types, for kfunc calls and for programs that attach by type."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, KernelError
from bpfsmith.objfile.btf_codec import Kind, record_bytes

_BTF = Path("/sys/kernel/btf/vmlinux")
# What a section's target is called in the kernel's types: prefix of the name, kind (libbpf, attach_kind_to_name).
_TARGETS = {
    "tp_btf": ("btf_trace_", Kind.TYPEDEF),
    "lsm": ("bpf_lsm_", Kind.FUNC),
    "lsm_cgroup": ("bpf_lsm_", Kind.FUNC),
    "iter": ("bpf_iter_", Kind.FUNC),
    "fentry": ("", Kind.FUNC),
    "fexit": ("", Kind.FUNC),
    "fmod_ret": ("", Kind.FUNC),
}


def kfunc_id(name: str) -> int:
    """The BTF id by which a program calls the kernel function `name`. KernelError `unknown-kernel-function`."""
    return _type_id(Kind.FUNC, name)


def attach_target(section: str) -> int:
    """The BTF id of what a section attaches to ("fentry/do_unlinkat"), 0 for sections that name no kernel type."""
    stem, _, target = section.partition("/")
    prefix, kind = _TARGETS.get(stem.removesuffix(".s"), ("", None))
    if kind is None or not target:
        return 0
    return _type_id(kind, prefix + target)


@cache
def _type_id(kind: Kind, name: str) -> int:
    found = _ids().get((kind, name))
    if found is None:
        raise KernelError(
            Diagnostic(
                "unknown-kernel-function",
                f"this kernel has no {kind.name.lower()} called {name}",
                notes=(f"searched in {_BTF}",),
                help="check the name, or run on a kernel that has it; modules are not searched",
            )
        )
    return found


@cache
def _ids() -> dict[tuple[Kind, str], int]:
    """Functions and typedefs by name. A walk over the raw records: parsing all 130,000 types takes a second and a half."""
    try:
        data = _BTF.read_bytes()
    except OSError:
        return {}
    _, _, _, header, type_at, type_length, string_at, string_length = struct.unpack_from("<HBBIIIII", data)
    strings = data[header + string_at : header + string_at + string_length]
    wanted = {int(Kind.FUNC): Kind.FUNC, int(Kind.TYPEDEF): Kind.TYPEDEF}
    ids: dict[tuple[Kind, str], int] = {}
    at, end, type_id = header + type_at, header + type_at + type_length, 0
    while at < end:
        type_id += 1
        name, info = struct.unpack_from("<II", data, at)
        kind, vlen = info >> 24 & 0x1F, info & 0xFFFF
        if kind in wanted:
            ids.setdefault((wanted[kind], strings[name : strings.index(0, name)].decode()), type_id)
        at += record_bytes(kind, vlen)
    return ids
