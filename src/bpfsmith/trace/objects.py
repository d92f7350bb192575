"""What a hook of the kernel's is given, by the running kernel's types, and which of it can have storage of its own."""

from __future__ import annotations

from bpfsmith.kernel.vmlinux import running_btf, type_id
from bpfsmith.objfile.btf import Func, FuncProto, Ptr, Struct
from bpfsmith.objfile.btf_codec import Kind
from bpfsmith.trace.hooks import Hook
from bpfsmith.trace.pairs import Half
from bpfsmith.trace.provenance import KEYED, Source, Value

OWNERS = {
    "task_struct": "task",
    **dict.fromkeys(("sock", "sock_common", "inet_sock", "inet_connection_sock", "tcp_sock", "udp_sock"), "sk"),
}
"""Structs that storage can be kept on from tracing programs, and whose kind of storage that is."""


def prototype(mechanism: str, target: str) -> FuncProto | None:
    """The prototype of a function (fentry, kprobe) or of a tracepoint's probes (tp_btf, whose first parameter is the probe's
    own data); None where this kernel has no such thing, or no types."""
    types = running_btf()
    if types is None or mechanism not in ("tp_btf", "kprobe", "fentry"):
        return None
    if mechanism == "tp_btf":
        number = type_id(Kind.TYPEDEF, f"btf_trace_{target}")
        pointer = types.resolved(number) if number is not None else None
        found = types.resolved(pointer.target) if isinstance(pointer, Ptr) else None
    else:
        number = type_id(Kind.FUNC, target)
        function = types[number] if number is not None else None
        found = types.resolved(function.proto) if isinstance(function, Func) else None
    return found if isinstance(found, FuncProto) else None


def parameters(mechanism: str, target: str) -> tuple[tuple[str, int], ...] | None:
    """Names and types of what the hook is given."""
    found = prototype(mechanism, target)
    if found is None:
        return None
    return tuple((item.name, item.type_id) for item in found.params[1 if mechanism == "tp_btf" else 0 :])


def owner(hook: Hook, argument: int) -> str | None:
    """ "task" or "sk" where the argument (from 0) leads to an object that can have storage."""
    types, known = running_btf(), parameters(hook.mechanism, hook.target)
    if types is None or known is None or argument >= len(known):
        return None
    pointer = types.resolved(known[argument][1])
    item = types.resolved(pointer.target) if isinstance(pointer, Ptr) else None
    return OWNERS.get(item.name) if isinstance(item, Struct) else None


def key_argument(half: Half, map_name: str) -> int | None:
    """The argument of the hook that is the key of every access of a program to a map; None where there is no such one."""
    keys = {use.key for use in half.of(map_name) if use.touch in KEYED}
    inside = all(use.function == half.program.name for use in half.of(map_name) if use.touch in KEYED)
    if len(keys) != 1 or not inside:
        return None
    (key,) = keys
    is_argument = len(key) == 1 and key[0]._replace(number=0) == Value(Source.ARGUMENT) and key[0].number >= 0
    return key[0].number if is_argument else None
