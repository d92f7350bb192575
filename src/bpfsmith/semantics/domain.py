"""The arithmetic that every meaning in this package is written over, and its instance on plain integers.

A `Domain` gives meaning to fixed-width bit vectors and truth values without saying what they are: Python ints (here), solver
terms (`terms.Terms`), or lines of C (`appnet.ctext`). Whoever writes a meaning once over a Domain can run it, prove with it
and print it.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

V = TypeVar("V")
"""A bit vector of the domain."""
B = TypeVar("B")
"""A truth value of the domain."""


class Domain(Protocol[V, B]):
    """Bit-vector arithmetic modulo 2**width. Widths are bits; both operands and the result have `width` unless said otherwise.

    Shift amounts are below the width, and divisors of a quotient are not zero where the result matters: callers mask and guard
    (the result is still some value, never an error). A remainder by zero is the dividend. Signed operations read two's
    complement.
    """

    def const(self, width: int, value: int) -> V: ...
    def add(self, width: int, a: V, b: V) -> V: ...
    def sub(self, width: int, a: V, b: V) -> V: ...
    def mul(self, width: int, a: V, b: V) -> V: ...
    def udiv(self, width: int, a: V, b: V) -> V: ...
    def urem(self, width: int, a: V, b: V) -> V: ...
    def and_(self, width: int, a: V, b: V) -> V: ...
    def or_(self, width: int, a: V, b: V) -> V: ...
    def xor(self, width: int, a: V, b: V) -> V: ...
    def shl(self, width: int, a: V, b: V) -> V: ...
    def lshr(self, width: int, a: V, b: V) -> V: ...
    def ashr(self, width: int, a: V, b: V) -> V: ...
    def extract(self, a: V, width: int, high: int, low: int) -> V:
        """Bits `high` down to `low` (both included) of `a`, which has `width` bits."""
        ...

    def concat(self, high: V, high_width: int, low: V, low_width: int) -> V: ...
    def zext(self, a: V, width: int, to_width: int) -> V: ...
    def sext(self, a: V, width: int, to_width: int) -> V: ...
    def ite(self, width: int, condition: B, then: V, other: V) -> V: ...
    def eq(self, width: int, a: V, b: V) -> B: ...
    def ult(self, width: int, a: V, b: V) -> B: ...
    def slt(self, width: int, a: V, b: V) -> B: ...
    def truth(self, value: bool) -> B: ...
    def all_of(self, *conditions: B) -> B: ...
    def any_of(self, *conditions: B) -> B: ...
    def negate(self, condition: B) -> B: ...


def signed(width: int, value: int) -> int:
    """An unsigned `width`-bit number read as two's complement."""
    return value - (1 << width) if value >> (width - 1) & 1 else value


class Concrete:
    """Bit vectors are ints in 0 .. 2**width - 1, truth values are bools; x / 0 is all ones and x % 0 is x, as in SMT-LIB."""

    def const(self, width: int, value: int) -> int:
        return value & ((1 << width) - 1)

    def add(self, width: int, a: int, b: int) -> int:
        return (a + b) & ((1 << width) - 1)

    def sub(self, width: int, a: int, b: int) -> int:
        return (a - b) & ((1 << width) - 1)

    def mul(self, width: int, a: int, b: int) -> int:
        return (a * b) & ((1 << width) - 1)

    def udiv(self, width: int, a: int, b: int) -> int:
        return a // b if b else (1 << width) - 1

    def urem(self, width: int, a: int, b: int) -> int:
        return a % b if b else a

    def and_(self, width: int, a: int, b: int) -> int:
        return a & b

    def or_(self, width: int, a: int, b: int) -> int:
        return a | b

    def xor(self, width: int, a: int, b: int) -> int:
        return a ^ b

    def shl(self, width: int, a: int, b: int) -> int:
        return (a << b) & ((1 << width) - 1) if b < width else 0

    def lshr(self, width: int, a: int, b: int) -> int:
        return a >> b

    def ashr(self, width: int, a: int, b: int) -> int:
        return (signed(width, a) >> min(b, width - 1)) & ((1 << width) - 1)

    def extract(self, a: int, width: int, high: int, low: int) -> int:
        return a >> low & ((1 << (high - low + 1)) - 1)

    def concat(self, high: int, high_width: int, low: int, low_width: int) -> int:
        return high << low_width | low

    def zext(self, a: int, width: int, to_width: int) -> int:
        return a

    def sext(self, a: int, width: int, to_width: int) -> int:
        return signed(width, a) & ((1 << to_width) - 1)

    def ite(self, width: int, condition: bool, then: int, other: int) -> int:
        return then if condition else other

    def eq(self, width: int, a: int, b: int) -> bool:
        return a == b

    def ult(self, width: int, a: int, b: int) -> bool:
        return a < b

    def slt(self, width: int, a: int, b: int) -> bool:
        return signed(width, a) < signed(width, b)

    def truth(self, value: bool) -> bool:
        return value

    def all_of(self, *conditions: bool) -> bool:
        return all(conditions)

    def any_of(self, *conditions: bool) -> bool:
        return any(conditions)

    def negate(self, condition: bool) -> bool:
        return not condition


CONCRETE = Concrete()
