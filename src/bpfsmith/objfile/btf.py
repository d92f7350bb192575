"""The C types of an object or of the running kernel (BPF Type Format): what they are and how to look them up.

Kinds: Documentation/bpf/btf.rst. A type is named by its id, its index in `Btf.types`; id 0 is void. Sizes are bytes unless a
name says bits. `btf_codec` reads and writes the section.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from bpfsmith.diagnostic import Diagnostic, InputError

POINTER_BYTES = 8
# Linkage of a Var and of a Func, include/uapi/linux/btf.h (BTF_VAR_*, BTF_FUNC_*).
STATIC, GLOBAL, EXTERN = 0, 1, 2
# Int.encoding, a set of bits.
INT_SIGNED, INT_CHAR, INT_BOOL = 1, 2, 4

_MAX_DEPTH = 64  # the kernel's MAX_RESOLVE_DEPTH is 32; deeper chains are cycles


@dataclass(frozen=True, slots=True)
class Void:
    """The absence of a type, id 0."""


@dataclass(frozen=True, slots=True)
class Int:
    name: str
    size: int
    bits: int
    encoding: int = 0
    bit_offset: int = 0

    @property
    def signed(self) -> bool:
        return bool(self.encoding & INT_SIGNED)


@dataclass(frozen=True, slots=True)
class Float:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Ptr:
    target: int


@dataclass(frozen=True, slots=True)
class Array:
    element: int
    index: int
    length: int


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a struct or union; `bit_size` is 0 unless it is a bitfield."""

    name: str
    type_id: int
    bit_offset: int
    bit_size: int = 0


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct, or with `is_union` a union. `kind_flag`: the file's form in which members carry bitfield sizes."""

    name: str
    size: int
    members: tuple[Member, ...]
    is_union: bool = False
    kind_flag: bool = False


@dataclass(frozen=True, slots=True)
class Enumerator:
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum; `is_enum64` is the kind with 64-bit values."""

    name: str
    size: int
    values: tuple[Enumerator, ...]
    signed: bool = False
    is_enum64: bool = False


@dataclass(frozen=True, slots=True)
class Fwd:
    name: str
    is_union: bool = False


@dataclass(frozen=True, slots=True)
class Typedef:
    name: str
    target: int


@dataclass(frozen=True, slots=True)
class Const:
    target: int


@dataclass(frozen=True, slots=True)
class Volatile:
    target: int


@dataclass(frozen=True, slots=True)
class Restrict:
    target: int


@dataclass(frozen=True, slots=True)
class TypeTag:
    """`__attribute__((btf_type_tag("name")))`: how kptrs and user pointers are marked."""

    name: str
    target: int
    is_attribute: bool = False


@dataclass(frozen=True, slots=True)
class Param:
    name: str
    type_id: int


@dataclass(frozen=True, slots=True)
class FuncProto:
    """A function's type; a last parameter of ("", 0) is `...`."""

    returns: int
    params: tuple[Param, ...]


@dataclass(frozen=True, slots=True)
class Func:
    """A function by name; `linkage` is STATIC, GLOBAL or EXTERN."""

    name: str
    proto: int
    linkage: int


@dataclass(frozen=True, slots=True)
class Var:
    name: str
    type_id: int
    linkage: int


@dataclass(frozen=True, slots=True)
class SectionVar:
    """Where a Var (or extern Func) `type_id` lies in its section."""

    type_id: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class DataSec:
    name: str
    size: int
    variables: tuple[SectionVar, ...]


@dataclass(frozen=True, slots=True)
class DeclTag:
    """`__attribute__((btf_decl_tag("name")))` on type `target`, or on its member or parameter `component` (-1: itself)."""

    name: str
    target: int
    component: int = -1
    is_attribute: bool = False


Modifier = Typedef | Const | Volatile | Restrict | TypeTag
BtfType = Void | Int | Float | Ptr | Array | Struct | Enum | Fwd | Modifier | FuncProto | Func | Var | DataSec | DeclTag
Named = Int | Float | Struct | Enum | Fwd | Typedef | Func | Var | DataSec | TypeTag | DeclTag
NamedT = TypeVar("NamedT", Int, Float, Struct, Enum, Fwd, Typedef, Func, Var, DataSec, TypeTag, DeclTag)


@dataclass(frozen=True)
class Btf:
    """Every type of one object, `types[0]` being void. `strings` is the string section: .BTF.ext points into it too."""

    types: Sequence[BtfType] = (Void(),)
    strings: bytes = b"\0"

    def __getitem__(self, type_id: int) -> BtfType:
        if not 0 <= type_id < len(self.types):
            raise malformed(f"type id {type_id} does not exist", f"there are {len(self.types)} types")
        return self.types[type_id]

    def string(self, offset: int) -> str:
        """The string at `offset` of the string section."""
        end = self.strings.find(b"\0", offset) if 0 <= offset < len(self.strings) else -1
        if end < 0:
            raise malformed(f"string offset {offset} is outside the string section of {len(self.strings)} bytes")
        return self.strings[offset:end].decode("utf-8", "replace")

    @cached_property
    def _all_by_name(self) -> dict[str, list[int]]:
        ids: dict[str, list[int]] = {}
        for type_id, item in enumerate(self.types):
            if isinstance(item, Named) and item.name:
                ids.setdefault(item.name, []).append(type_id)
        return ids

    def named(self, name: str) -> Sequence[int]:
        """The ids of all types of this name, of whatever kind."""
        return self._all_by_name.get(name, ())

    def find(self, kind: type[NamedT], name: str) -> int | None:
        """The id of the first type of this kind and name, None when there is none: `btf.find(Struct, "iphdr")`."""
        return next((type_id for type_id in self.named(name) if type(self[type_id]) is kind), None)

    def get(self, kind: type[NamedT], name: str) -> NamedT | None:
        """The first type of this kind and name, None when there is none."""
        type_id = self.find(kind, name)
        found = None if type_id is None else self.types[type_id]
        return found if isinstance(found, kind) else None

    def resolve(self, type_id: int) -> int:
        """The id of the type beneath typedefs, const, volatile, restrict and type tags."""
        for _ in range(_MAX_DEPTH):
            item = self[type_id]
            if not isinstance(item, Modifier):
                return type_id
            type_id = item.target
        raise malformed(f"the chain of typedefs at type id {type_id} does not end")

    def resolved(self, type_id: int) -> BtfType:
        """The type beneath typedefs, const, volatile, restrict and type tags."""
        return self[self.resolve(type_id)]

    def sizeof(self, type_id: int) -> int:
        """What C's sizeof says, in bytes. Void, functions and forward declarations have no size: InputError."""
        count = 1
        for _ in range(_MAX_DEPTH):
            match self.resolved(type_id):
                case Int(size=size) | Float(size=size) | Struct(size=size) | Enum(size=size) | DataSec(size=size):
                    return count * size
                case Ptr():
                    return count * POINTER_BYTES
                case Array(element=type_id, length=length):
                    count *= length
                case Var(type_id=type_id):
                    pass
                case other:
                    raise malformed(f"type id {type_id} ({type(other).__name__}) has no size")
        raise malformed(f"the chain of arrays at type id {type_id} does not end")

    def members(self, type_id: int) -> Iterator[Member]:
        """The members of a struct or union, those of its anonymous members in their place; bit offsets from the outermost.

        A bitfield of old BTF, whose size stands in the Int it names, comes out like one of new BTF.
        """
        return self._members(type_id, 0, 0)

    def _members(self, type_id: int, base_bits: int, depth: int) -> Iterator[Member]:
        outer = self.resolved(type_id)
        if not isinstance(outer, Struct) or depth > _MAX_DEPTH:
            raise malformed(f"type id {type_id} is not a struct or union of finite depth")
        for member in outer.members:
            inner = self.resolved(member.type_id)
            at = base_bits + member.bit_offset
            if not member.name and isinstance(inner, Struct):
                yield from self._members(member.type_id, at, depth + 1)
            elif isinstance(inner, Int) and not member.bit_size and (inner.bits != 8 * inner.size or inner.bit_offset):
                yield Member(member.name, member.type_id, at + inner.bit_offset, inner.bits)
            else:
                yield Member(member.name, member.type_id, at, member.bit_size)


def malformed(message: str, *notes: str) -> InputError:
    """The error for BTF that breaks its own rules."""
    return InputError(
        Diagnostic(
            "malformed-btf",
            f"the BTF type information is malformed: {message}",
            notes=notes,
            help="compile the object again with -g, or look at it with `bpftool btf dump file`",
        )
    )
