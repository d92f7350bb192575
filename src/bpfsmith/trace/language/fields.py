"""Fields of kernel structs in probes: found in the running kernel's types, read by CO-RE from small structs of our own."""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfsmith.kernel.vmlinux import running_btf
from bpfsmith.objfile.btf import Array, Btf, Enum, Int, Member, Ptr, Struct
from bpfsmith.trace import objects
from bpfsmith.trace.language.syntax import ProbeKind


class NoField(Exception):
    """What is asked for is not there, or nothing that a probe can read; says what in a sentence."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A C expression and the BTF type of its value. `kept`: a pointer that waited in a map, or that a kprobe found in a
    register, which the verifier takes for a number: what it leads to is copied."""

    text: str
    type_id: int
    kept: bool = False


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
    """Names and types of what a hook of the kernel's is given; None where its types are not known. Raises NoField."""
    if running_btf() is None or kind not in (ProbeKind.TP_BTF, ProbeKind.KPROBE, ProbeKind.FENTRY):
        return None
    found = objects.parameters(kind, target)
    if found is None:
        raise NoField(f"this kernel has no {'tracepoint' if kind is ProbeKind.TP_BTF else 'function'} {target}")
    return found


def result_type(kind: ProbeKind, target: str) -> int | None:
    """The type of what a function of the kernel's returns; None where it is not known."""
    found = objects.prototype(kind, target) if kind in (ProbeKind.KPROBE, ProbeKind.FENTRY) else None
    return found.returns if found is not None else None


def narrow(type_id: int | None) -> tuple[int, bool] | None:
    """Bytes and sign of a number that does not fill its register: what stands above it there is anything."""
    types = running_btf()
    match types.resolved(type_id) if types is not None and type_id is not None else None:
        case Int(size=size, signed=signed) if size < 8:
            return size, signed
        case Enum(size=size) if size < 8:
            return size, False
        case _:
            return None


def located(base: int, name: str) -> tuple[str, Member]:
    """The struct that a pointer of type `base` leads to, and where its field `name` stands. Raises NoField."""
    types = running_btf()
    assert types is not None
    pointer = types.resolved(base)
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
    return struct.name, found


def size_and_sign(type_id: int) -> tuple[int, bool]:
    """Bytes and sign of a field that is a number or a pointer."""
    return narrow(type_id) or (8, False)


def member(base: Typed, name: str, structs: Structs) -> Typed:
    """The field `name` of what `base` points to, as an address to be read by CO-RE."""
    types = running_btf()
    assert types is not None
    struct, found = located(base.type_id, name)
    structs.known.setdefault(struct, {})[name] = _declaration(types, found.type_id, name, structs)
    return Typed(f"((struct {struct} *)({base.text}))->{name}", found.type_id, base.kept)


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
