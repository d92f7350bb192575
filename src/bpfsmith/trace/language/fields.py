"""Fields of kernel structs in probes: found in the running kernel's types, read by CO-RE from small structs of our own."""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfsmith.kernel.vmlinux import running_btf, type_id
from bpfsmith.objfile.btf import Array, Btf, Enum, Func, FuncProto, Int, Ptr, Struct, Typedef
from bpfsmith.objfile.btf_codec import Kind
from bpfsmith.trace.language.syntax import ProbeKind


class NoField(Exception):
    """What is asked for is not there, or nothing that a probe can read; says what in a sentence."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A C expression and the BTF type of its value."""

    text: str
    type_id: int


@dataclass(slots=True)
class Structs:
    """The structs that a probe file reads from, each with the fields that it reads and their C types."""

    known: dict[str, dict[str, str]] = field(default_factory=dict)

    def c_text(self) -> str:
        forward = "".join(f"struct {name};\n" for name in self.known)
        bodies = (
            f"struct {name} {{ {' '.join(f'{kind};' for kind in fields.values())} }} __attribute__((preserve_access_index));\n"
            for name, fields in self.known.items()
        )
        return forward + "".join(bodies)


def parameters(kind: ProbeKind, target: str) -> tuple[tuple[str, int], ...] | None:
    """Names and types of what a hook of the kernel's is given; None where its types are not known."""
    types = running_btf()
    if types is None or kind not in (ProbeKind.TP_BTF, ProbeKind.KPROBE, ProbeKind.FENTRY):
        return None
    if kind is ProbeKind.TP_BTF:
        number = type_id(Kind.TYPEDEF, f"btf_trace_{target}")
        pointer = types.resolved(number) if number is not None else None
        prototype = types.resolved(pointer.target) if isinstance(pointer, Ptr) else None
        first = 1  # the probe's private data comes first
    else:
        number = type_id(Kind.FUNC, target)
        function = types[number] if number is not None else None
        prototype = types.resolved(function.proto) if isinstance(function, Func) else None
        first = 0
    if not isinstance(prototype, FuncProto):
        raise NoField(f"this kernel has no {'tracepoint' if kind is ProbeKind.TP_BTF else 'function'} {target}")
    return tuple((item.name, item.type_id) for item in prototype.params[first:])


def member(base: Typed, name: str, structs: Structs) -> Typed:
    """The field `name` of what `base` points to, as an address to be read by CO-RE."""
    types = running_btf()
    assert types is not None
    pointer = types.resolved(base.type_id)
    target = types.resolve(pointer.target) if isinstance(pointer, Ptr) else -1
    struct = types[target] if target >= 0 else None
    if not isinstance(struct, Struct):
        raise NoField("only fields of a struct that a pointer leads to can be read")
    found = next((item for item in types.members(target) if item.name == name), None)
    if found is None:
        names = [item.name for item in types.members(target) if name[:3] in item.name][:5]
        raise NoField(f"struct {struct.name} has no field {name}" + (f"; it has {', '.join(names)}" if names else ""))
    if found.bit_size:
        raise NoField(f"{name} is a bit field")
    structs.known.setdefault(struct.name, {})[name] = _declaration(types, found.type_id, name, structs)
    return Typed(f"((struct {struct.name} *)({base.text}))->{name}", found.type_id)


def _declaration(types: Btf, type_id: int, name: str, structs: Structs) -> str:
    match types.resolved(type_id):
        case Int(size=size, signed=signed) if size <= 8:
            return f"__{'s' if signed else 'u'}{8 * size} {name}"
        case Enum(size=size):
            return f"__u{8 * size} {name}"
        case Ptr(target=target):
            inner = types.resolved(target)
            if isinstance(inner, Struct) and inner.name and not inner.is_union:
                structs.known.setdefault(inner.name, {})
                return f"struct {inner.name} *{name}"
            return f"void *{name}"
        case Array(element=element, length=length) if _is_char(types, element):
            return f"char {name}[{length}]"
        case _:
            raise NoField(f"{name} is neither a number, a pointer nor a string")


def string_bytes(type_id: int) -> int | None:
    """The size of a field that is a string; None for one that is not."""
    types = running_btf()
    item = types.resolved(type_id) if types is not None else None
    return item.length if types is not None and isinstance(item, Array) and _is_char(types, item.element) else None


def _is_char(types: Btf, type_id: int) -> bool:
    item = types.resolved(type_id)
    return isinstance(item, Int) and item.size == 1


__all__ = ["NoField", "Structs", "Typed", "Typedef", "member", "parameters", "string_bytes"]
