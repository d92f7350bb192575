"""What a file leaves open and its loader must choose before the kernel can be asked: sizes of maps, types of programs.

A loader of the file's own would set these; here they are assumed, said, and can be given. Pins are not made at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bpfsmith.diagnostic import InputError
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.objfile.btf import Func, FuncProto, Ptr, Struct
from bpfsmith.objfile.object import Object

# Types whose max_entries may be 0, is not theirs to have, or is filled in from the machine.
_UNSIZED = frozenset(
    f"BPF_MAP_TYPE_{name}"
    for name in (
        "SK_STORAGE", "INODE_STORAGE", "TASK_STORAGE", "CGRP_STORAGE", "CGROUP_STORAGE", "CGROUP_STORAGE_DEPRECATED",
        "PERCPU_CGROUP_STORAGE", "PERCPU_CGROUP_STORAGE_DEPRECATED", "PERF_EVENT_ARRAY", "STRUCT_OPS", "ARENA",
    )
)  # fmt: skip
# The section to assume for a first argument of this type; the kernel's own names are those of freplace programs.
_SECTION_BY_CONTEXT = {
    "xdp_md": "xdp", "xdp_buff": "xdp", "__sk_buff": "tc", "sk_buff": "tc", "bpf_sock": "cgroup/post_bind4",
    "sock": "cgroup/post_bind4", "bpf_sock_addr": "cgroup/bind4", "bpf_sock_addr_kern": "cgroup/bind4",
    "bpf_sock_ops": "sockops", "bpf_sock_ops_kern": "sockops", "sk_msg_md": "sk_msg", "sk_msg": "sk_msg",
    "bpf_cgroup_dev_ctx": "cgroup/dev", "bpf_sysctl": "cgroup/sysctl", "bpf_sysctl_kern": "cgroup/sysctl",
    "bpf_sockopt": "cgroup/setsockopt", "bpf_sockopt_kern": "cgroup/setsockopt",
    "sk_reuseport_md": "sk_reuseport/migrate", "sk_reuseport_kern": "sk_reuseport/migrate", "bpf_sk_lookup": "sk_lookup",
    "bpf_sk_lookup_kern": "sk_lookup", "pt_regs": "kprobe", "bpf_user_pt_regs_t": "kprobe",
    "bpf_perf_event_data": "perf_event", "bpf_raw_tracepoint_args": "raw_tp", "bpf_nf_ctx": "netfilter",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user gives for a file: entries and, where not None, bytes of a value by map name, and the section for programs
    whose own names no type."""

    maps: Mapping[str, tuple[int, int | None]]
    section: str | None = None


def loadable(program: Program, obj: Object | None, choices: Choices) -> tuple[Program, tuple[MapSpec, ...], tuple[str, ...]]:
    """The program as it can be loaded, every map of its object, and a sentence for each thing that was assumed.

    All maps, because loaders make them all: an object with one that cannot be made loads nowhere. InputError `unknown-section`.
    """
    section, assumed = _section(program, obj, choices)
    sized = {}
    for spec in obj.maps if obj else program.maps:
        sized[spec.name], told = _sized(spec, choices)
        assumed += told
    own = tuple(sized[spec.name] for spec in program.maps)
    return replace(program, section=section, maps=own), tuple(sized.values()), assumed


def _sized(spec: MapSpec, choices: Choices) -> tuple[MapSpec, tuple[str, ...]]:
    given = choices.maps.get(spec.name)
    if given is not None:
        entries, value_size = given
        return replace(spec, max_entries=entries, value_size=spec.value_size if value_size is None else value_size), ()
    if spec.max_entries or spec.type in _UNSIZED:
        return spec, ()
    return replace(spec, max_entries=1), (f"map {spec.name} states no max_entries: 1 is assumed",)


def _section(program: Program, obj: Object | None, choices: Choices) -> tuple[str, tuple[str, ...]]:
    stem = program.section.removeprefix("?").partition("/")[0].removesuffix(".s")
    try:
        for_section(program.section)
    except InputError:
        guess = choices.section or _by_context(program, obj) or _by_name(stem)
        if guess is None:
            raise
        return guess, () if choices.section else (f"section `{program.section}` names no program type: `{guess}` is assumed",)
    if stem == "freplace" and (guess := choices.section or _by_context(program, obj)):
        return guess, (f"an freplace program has the type of what it replaces: `{guess}` is assumed",)
    return program.section, ()


def _by_context(program: Program, obj: Object | None) -> str | None:
    """By the type that the program's first argument points to."""
    function = obj.functions.get(program.name) if obj else None
    if obj is None or obj.btf is None or function is None or not function.type_id:
        return None
    func = obj.btf[function.type_id]
    proto = obj.btf[func.proto] if isinstance(func, Func) else None
    if not isinstance(proto, FuncProto) or not proto.params:
        return None
    pointer = obj.btf.resolved(proto.params[0].type_id)
    target = obj.btf.resolved(pointer.target) if isinstance(pointer, Ptr) else None
    return _SECTION_BY_CONTEXT.get(target.name) if isinstance(target, Struct) else None


def _by_name(stem: str) -> str | None:
    """Sections of loaders before libbpf 1.0, which looked at how the name begins ("xdp_drop", "tc_ingress")."""
    old = {"xdp": "xdp", "tc": "tc", "classifier": "tc", "socket": "socket", "sockops": "sockops", "sk_msg": "sk_msg"}
    return next((section for prefix, section in old.items() if stem.startswith(prefix)), None)
