"""What a register may hold while a path is followed that nobody runs: a number, a pointer, or a value of which only the origin
is known.

An unknown value is named by where it comes from, and a value computed from it by the computation. So the same computation has
the same name, and what a branch says of it once holds when the program asks again.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from bpfsmith.ir.ops import AluKind, Condition
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics.domain import CONCRETE

MASK64 = (1 << 64) - 1
_DEEPEST_NAME = 12


@dataclass(frozen=True, slots=True)
class Unknown:
    """Some 64-bit number. `depth` is how many computations its name has."""

    name: Hashable
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Pointer:
    """`offset` bytes into a region; a distance that is not known becomes part of the region's name.

    Kinds: ctx, packet, end (of the packet), stack, map (the map itself), value (of a map), function, other. `nullable`: a
    lookup gave it, and nobody has looked yet.
    """

    kind: str
    region: Hashable = None
    offset: int | None = 0
    nullable: bool = False


Value = int | Pointer | Unknown


class Names:
    """Fresh names."""

    def __init__(self) -> None:
        self._next = 0

    def fresh(self) -> Unknown:
        self._next += 1
        return Unknown(self._next)


def alu(kind: AluKind, width: int, left: Value, right: Value, names: Names) -> Value:
    """What an instruction computes, as far as it can be told."""
    if kind is AluKind.MOV:
        return right if width == 64 else _low_half(right, names)
    if isinstance(left, int) and isinstance(right, int):
        mask = (1 << width) - 1
        return int(meaning.alu(CONCRETE, kind, width, left & mask, right & mask)) & mask
    if isinstance(left, Pointer) or isinstance(right, Pointer):
        return _moved(kind, left, right, names)
    return _named(("alu", kind, width, left, right), names, left, right)


def _low_half(value: Value, names: Names) -> Value:
    match value:
        case int():
            return value & 0xFFFFFFFF
        case Unknown(name=("packet", int(), int(size), False)) if size <= 4:
            return value  # it has no upper half
        case _:
            return _named(("low half", value), names, value)


def _moved(kind: AluKind, left: Value, right: Value, names: Names) -> Value:
    if kind is AluKind.ADD and isinstance(right, Pointer) and not isinstance(left, Pointer):
        left, right = right, left
    if isinstance(left, Pointer) and not isinstance(right, Pointer) and kind in (AluKind.ADD, AluKind.SUB):
        if left.offset is None or not isinstance(right, int):
            return Pointer(left.kind, (left.region, left.offset, kind, right), 0)  # counted from there on
        distance = right if right < 1 << 63 else right - (1 << 64)
        return Pointer(left.kind, left.region, left.offset + (distance if kind is AluKind.ADD else -distance), left.nullable)
    if kind is AluKind.SUB and isinstance(left, Pointer) and isinstance(right, Pointer):
        same = left.kind == right.kind and left.region == right.region
        if same and left.offset is not None and right.offset is not None:
            return (left.offset - right.offset) & MASK64
        return _named(("distance", left, right), names)
    return names.fresh()


def unary(name: Hashable, value: Value, names: Names, width: int = 64) -> Value:
    """A conversion named `name` of a value that is no number."""
    return _named(("unary", name, width, value), names, value)


def _named(name: Hashable, names: Names, *parts: Value) -> Unknown:
    depth = 1 + max((part.depth for part in parts if isinstance(part, Unknown)), default=0)
    return Unknown(name, depth) if depth <= _DEEPEST_NAME else names.fresh()


def decided(kind: Condition, width: int, left: Value, right: Value) -> bool | None:
    """Which way a branch goes, None where that depends on more than is known here."""
    if isinstance(left, int) and isinstance(right, int):
        mask = (1 << width) - 1
        return bool(meaning.condition(CONCRETE, kind, width, left & mask, right & mask))
    for pointer, other in ((left, right), (right, left)):
        if isinstance(pointer, Pointer) and other == 0 and not pointer.nullable and kind in (Condition.EQ, Condition.NE):
            return kind is Condition.NE
    if (
        not isinstance(left, Pointer)
        or not isinstance(right, Pointer)
        or (left.kind, left.region) != (right.kind, right.region)
    ):
        return None
    if left.offset is None or right.offset is None:
        return None
    return bool(meaning.condition(CONCRETE, kind, 64, left.offset & MASK64, right.offset & MASK64))
