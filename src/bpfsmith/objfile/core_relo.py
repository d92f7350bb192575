"""CO-RE relocations: puts a kernel's own offsets, sizes and values where a program has those of the types it was compiled with.

The rules are libbpf's (tools/lib/bpf/relo_core.c): a type is found in the kernel by its name without flavor, a field by the
names on the way to it, and what is not there makes its instruction one that no verifier accepts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn, slot_starts
from bpfsmith.objfile.btf import Array, Btf, BtfType, Enum, Float, Func, FuncProto, Fwd, Int, Member, Ptr, Struct, Typedef
from bpfsmith.objfile.btf_ext import CoreKind, CoreRelo

SLOT = 8
POISON = 0xBAD2310
"""The helper that does not exist, which a relocation without an answer becomes a call of."""

_ON_TYPES = frozenset({CoreKind.TYPE_ID_LOCAL, CoreKind.TYPE_ID_TARGET, CoreKind.TYPE_EXISTS, CoreKind.TYPE_SIZE})
_ON_TYPES |= {CoreKind.TYPE_MATCHES}
_ON_VALUES = frozenset({CoreKind.ENUMVAL_EXISTS, CoreKind.ENUMVAL_VALUE})
_EXISTENCE = frozenset({CoreKind.FIELD_EXISTS, CoreKind.TYPE_EXISTS, CoreKind.TYPE_MATCHES, CoreKind.ENUMVAL_EXISTS})
_SIZE_BITS = {1: isa.BPF_B, 2: isa.BPF_H, 4: isa.BPF_W, 8: isa.BPF_DW}


class Ambiguous(Exception):
    """Several types of the kernel have the name, and they do not agree on the answer."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One step into a type: a member by name, or (name "") an element by index."""

    name: str
    index: int


@dataclass(frozen=True, slots=True)
class _Field:
    """A place in a type: where it is in bits, its type, and its member if it is one (elements are not)."""

    bit_offset: int
    type_id: int
    member: Member | None


def relocate(insns: Sequence[Insn], relos: Sequence[CoreRelo], local: Btf, target: Btf) -> tuple[Insn, ...]:
    """The instructions of one function for the kernel whose types are `target`. Raises Ambiguous.

    Offsets of `relos` are bytes from the start of the function; `local` is the object's BTF.
    """
    at = {slot * SLOT: index for index, slot in enumerate(slot_starts(insns))}
    out = list(insns)
    for relo in relos:
        index = at.get(relo.insn_offset)
        if index is not None:
            out[index] = _patched(out[index], _answer(relo, local, target), _sizes(relo, local, target))
    return tuple(out)


def essential_name(name: str) -> str:
    """A name without its flavor: `task_struct___old` means one of several forms of task_struct."""
    return name.partition("___")[0]


# --- what the answer is -----------------------------------------------------------------------------------------------
def _answer(relo: CoreRelo, local: Btf, target: Btf) -> int | None:
    """The number to put in; None where the kernel has no such thing."""
    if relo.kind is CoreKind.TYPE_ID_LOCAL:
        return relo.type_id
    found = (_on(candidate, relo, local, target) for candidate in _candidates(relo, local, target))
    answers = {value for value in found if value is not None}
    if relo.kind in _EXISTENCE:
        return int(bool(answers))
    if len(answers) > 1:
        raise Ambiguous(f"{_name(local[relo.type_id])} {relo.access}: {sorted(answers)}")
    return answers.pop() if answers else None


def _candidates(relo: CoreRelo, local: Btf, target: Btf) -> Iterator[int]:
    """The kernel's types of the same kind and name."""
    wanted = local[relo.type_id]
    name = essential_name(_name(wanted))
    kind = type(wanted)
    for type_id in target.named(name) if name else ():
        found = target[type_id]
        same_kind = isinstance(found, kind)
        if isinstance(wanted, Struct) and isinstance(found, Struct):
            same_kind = wanted.is_union == found.is_union
        if same_kind:
            yield type_id


def _name(item: BtfType) -> str:
    return getattr(item, "name", "")


def _on(candidate: int, relo: CoreRelo, local: Btf, target: Btf) -> int | None:
    """The answer if this is the kernel's type."""
    if relo.kind is CoreKind.TYPE_SIZE:
        return target.sizeof(candidate)
    if relo.kind in _ON_TYPES:
        return candidate if relo.kind is CoreKind.TYPE_ID_TARGET else 1
    if relo.kind in _ON_VALUES:
        return _enumerator(candidate, relo, local, target)
    field = _found(_steps(relo, local), candidate, target, _place(relo, local), local)
    return None if field is None else _property(relo.kind, field, target)


def _enumerator(candidate: int, relo: CoreRelo, local: Btf, target: Btf) -> int | None:
    ours, theirs = local.resolved(relo.type_id), target.resolved(candidate)
    if not (isinstance(ours, Enum) and isinstance(theirs, Enum)):
        return None
    wanted = essential_name(ours.values[int(relo.access)].name)
    return next((item.value for item in theirs.values if essential_name(item.name) == wanted), None)


def _property(kind: CoreKind, field: _Field, btf: Btf) -> int:
    size = btf.sizeof(field.type_id)
    bits = field.member.bit_size if field.member else 0
    at = field.bit_offset // 8
    if bits:  # the aligned word that holds the whole of it
        at = field.bit_offset // 8 // size * size
        while field.bit_offset + bits - at * 8 > size * 8:
            size *= 2
            at = field.bit_offset // 8 // size * size
    match kind:
        case CoreKind.FIELD_BYTE_OFFSET:
            return at
        case CoreKind.FIELD_BYTE_SIZE:
            return size
        case CoreKind.FIELD_SIGNED:
            resolved = btf.resolved(field.type_id)
            return int(resolved.signed) if isinstance(resolved, Int | Enum) else 0
        case CoreKind.FIELD_LSHIFT_U64:
            return 64 - (field.bit_offset + (bits or 8 * size) - at * 8)
        case CoreKind.FIELD_RSHIFT_U64:
            return 64 - (bits or 8 * size)
        case _:
            return 1


# --- the way to a field -----------------------------------------------------------------------------------------------
def _steps(relo: CoreRelo, btf: Btf) -> tuple[_Step, ...]:
    """The access as names: "0:1:2" through the object's own types. Anonymous members are no step."""
    first, *rest = (int(part) for part in relo.access.split(":"))
    steps, type_id = [_Step("", first)], relo.type_id
    for index in rest:
        match btf.resolved(type_id):
            case Struct(members=members):
                if members[index].name:
                    steps.append(_Step(members[index].name, index))
                type_id = members[index].type_id
            case Array(element=element):
                steps.append(_Step("", index))
                type_id = element
            case _:
                break
    return tuple(steps)


def path_of(relo: CoreRelo, btf: Btf) -> str:
    """What a relocation is about, by names: "task_struct.se.vruntime"."""
    names = [step.name for step in _steps(relo, btf) if step.name]
    return ".".join((essential_name(_name(btf.resolved(relo.type_id))), *names))


def _place(relo: CoreRelo, btf: Btf) -> _Field:
    """Where the access leads in the object's own types."""
    field = _found(_steps(relo, btf), relo.type_id, btf, None, btf)
    assert field is not None, "an access leads through the type that it was made for"
    return field


def _found(steps: Sequence[_Step], root: int, btf: Btf, wanted: _Field | None, local: Btf) -> _Field | None:
    """The same names in another type; None where one is missing or its type does not go with that which is wanted."""
    field = _Field(8 * btf.sizeof(root) * steps[0].index if steps[0].index else 0, root, None)
    for step in steps[1:]:
        if step.name:
            member = _member(btf, field.type_id, step.name)
            if member is None:
                return None
            field = _Field(field.bit_offset + member.bit_offset, member.type_id, member)
            continue
        array = btf.resolved(field.type_id)
        if not isinstance(array, Array) or (step.index >= array.length > 0):
            return None
        field = _Field(field.bit_offset + 8 * step.index * btf.sizeof(array.element), array.element, None)
    return field if wanted is None or _compatible(local, wanted.type_id, btf, field.type_id) else None


def _member(btf: Btf, type_id: int, name: str) -> Member | None:
    if not isinstance(btf.resolved(type_id), Struct):
        return None
    return next((member for member in btf.members(type_id) if member.name == name), None)


def _compatible(local: Btf, a: int, target: Btf, b: int) -> bool:
    """May a field of the one type be read as the other? (bpf_core_fields_are_compat)"""
    ours, theirs = local.resolved(a), target.resolved(b)
    match ours, theirs:
        case (Struct(), Struct()) | (Ptr(), Ptr()) | (Float(), Float()) | (Int(), Int()):
            return True
        case (Enum() | Fwd(), Enum() | Fwd()):
            names = essential_name(ours.name), essential_name(theirs.name)
            return not all(names) or names[0] == names[1]
        case Array(element=first), Array(element=second):
            return _compatible(local, first, target, second)
        case (Func() | FuncProto() | Typedef(), _):
            return type(ours) is type(theirs)
        case _:
            return False


# --- putting it in ----------------------------------------------------------------------------------------------------
def _sizes(relo: CoreRelo, local: Btf, target: Btf) -> tuple[int, int] | None:
    """How wide a field is here and in the kernel, where a load must follow: pointers and unsigned numbers."""
    if relo.kind is not CoreKind.FIELD_BYTE_OFFSET:
        return None
    ours = _place(relo, local)
    for candidate in _candidates(relo, local, target):
        theirs = _found(_steps(relo, local), candidate, target, ours, local)
        if theirs is not None:
            return _property(CoreKind.FIELD_BYTE_SIZE, ours, local), _property(CoreKind.FIELD_BYTE_SIZE, theirs, target)
    return None


def _patched(insn: Insn, value: int | None, sizes: tuple[int, int] | None) -> Insn:
    if value is None:
        return Insn(isa.BPF_JMP | isa.BPF_CALL, imm=POISON, span=insn.span)
    if insn.insn_class in (isa.BPF_LDX, isa.BPF_ST, isa.BPF_STX):
        opcode = insn.opcode
        if sizes is not None and sizes[0] != sizes[1] and isa.SIZE_BYTES[opcode & 0x18] == sizes[0] and sizes[1] in _SIZE_BITS:
            opcode = opcode & ~0x18 | _SIZE_BITS[sizes[1]]
        return replace(insn, opcode=opcode, offset=value)
    if insn.is_wide:
        return replace(insn, imm=value if value < 1 << 63 else value - (1 << 64))
    return replace(insn, imm=value if value < 1 << 31 else value - (1 << 32))
