"""Ids of a kernel's own functions, variables and types: kfunc calls, typed ksyms, programs that attach by type."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, KernelError
from bpfsmith.objfile.btf import Btf, Func, Struct, Typedef, Var
from bpfsmith.objfile.btf_codec import Kind, LazyBtf
from bpfsmith.objfile.core_relo import essential_name

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
    "fsession": ("", Kind.FUNC),
}
_CLASSES: dict[Kind, type] = {
    Kind.FUNC: Func, Kind.TYPEDEF: Typedef, Kind.VAR: Var, Kind.STRUCT: Struct,
}  # fmt: skip


@cache
def running_btf() -> Btf | None:
    """The running kernel's types, each parsed when it is asked for; None where it has no BTF."""
    try:
        return LazyBtf(_BTF.read_bytes())
    except OSError:
        return None


def type_id(kind: Kind, name: str) -> int | None:
    """The id of the running kernel's first type of this kind and name; None where it has none, or no BTF."""
    types = running_btf()
    if types is None:
        return None
    return next((number for number in types.named(name) if type(types[number]) is _CLASSES[kind]), None)


def member_of(struct_name: str, member: str) -> tuple[int, int]:
    """The id of a struct and the index of its member. KernelError `unknown-kernel-function` where the kernel lacks either."""
    found = _must_have(Kind.STRUCT, struct_name)
    types = running_btf()
    described = types[found] if types is not None else None
    members = described.members if isinstance(described, Struct) else ()
    for index, item in enumerate(members):
        if item.name == member:
            return found, index
    raise _missing(f"member {member} in struct {struct_name}")


def kfunc_id(name: str) -> int:
    """The BTF id by which a program calls the kernel function `name`. KernelError `unknown-kernel-function`."""
    return _must_have(Kind.FUNC, essential_name(name))


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
    return _must_have(*named) if named else 0


def _must_have(kind: Kind, name: str) -> int:
    found = type_id(kind, name)
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
