"""What the interpreter calculates floats with: exact reals as the yardstick, fixed point as the generated code has it."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol, TypeVar

from bpfsmith.appnet import fixed
from bpfsmith.semantics.domain import Concrete

N = TypeVar("N")
"""A float of the implementation."""

WORDS = 2**32
"""How many words a draw has."""
NS_PER_S = 10**9


class Numbers(Protocol[N]):
    """Arithmetic on AppNet's floats. Divisors are not zero: the interpreter has seen to that."""

    def from_fraction(self, value: Fraction) -> N: ...
    def from_int(self, value: int) -> N:
        """An int or a uint."""
        ...

    def to_fraction(self, a: N) -> Fraction:
        """The exact value."""
        ...

    def add(self, a: N, b: N) -> N: ...
    def sub(self, a: N, b: N) -> N: ...
    def mul(self, a: N, b: N) -> N: ...
    def div(self, a: N, b: N) -> N: ...
    def neg(self, a: N) -> N: ...
    def compare(self, a: N, b: N) -> int:
        """Negative, zero or positive as `a` is less than, equal to or greater than `b`."""
        ...

    def time_diff(self, later_ns: int, earlier_ns: int) -> N:
        """Seconds between two clock readings."""
        ...

    def uniform(self, word: int, low: Fraction, high: Fraction) -> N:
        """The number that a drawn word stands for in [low, high)."""
        ...


class RealNumbers:
    """Floats as the mathematical reals that the language means; what fixed point loses is the distance to these."""

    def from_fraction(self, value: Fraction) -> Fraction:
        return value

    def from_int(self, value: int) -> Fraction:
        return Fraction(value)

    def to_fraction(self, a: Fraction) -> Fraction:
        return a

    def add(self, a: Fraction, b: Fraction) -> Fraction:
        return a + b

    def sub(self, a: Fraction, b: Fraction) -> Fraction:
        return a - b

    def mul(self, a: Fraction, b: Fraction) -> Fraction:
        return a * b

    def div(self, a: Fraction, b: Fraction) -> Fraction:
        return a / b

    def neg(self, a: Fraction) -> Fraction:
        return -a

    def compare(self, a: Fraction, b: Fraction) -> int:
        return (a > b) - (a < b)

    def time_diff(self, later_ns: int, earlier_ns: int) -> Fraction:
        return Fraction(later_ns - earlier_ns, NS_PER_S)

    def uniform(self, word: int, low: Fraction, high: Fraction) -> Fraction:
        return low + (high - low) * Fraction(word, WORDS)


class FixedNumbers:
    """Floats as `fixed` defines them, each an unsigned 64-bit word: what the generated code calculates, bit for bit."""

    _domain = Concrete()

    def from_fraction(self, value: Fraction) -> int:
        return fixed.from_fraction(value)

    def from_int(self, value: int) -> int:
        if value < 0:
            return fixed.from_int(self._domain, value & (1 << 64) - 1)
        return fixed.from_uint(self._domain, value)

    def to_fraction(self, a: int) -> Fraction:
        return fixed.to_fraction(a)

    def add(self, a: int, b: int) -> int:
        return fixed.add(self._domain, a, b)

    def sub(self, a: int, b: int) -> int:
        return fixed.sub(self._domain, a, b)

    def mul(self, a: int, b: int) -> int:
        return fixed.mul(self._domain, a, b)

    def div(self, a: int, b: int) -> int:
        return fixed.div(self._domain, a, b)

    def neg(self, a: int) -> int:
        return fixed.neg(self._domain, a)

    def compare(self, a: int, b: int) -> int:
        return int(self._domain.slt(64, b, a)) - int(self._domain.slt(64, a, b))

    def time_diff(self, later_ns: int, earlier_ns: int) -> int:
        return fixed.seconds_between(self._domain, later_ns, earlier_ns)

    def uniform(self, word: int, low: Fraction, high: Fraction) -> int:
        return fixed.uniform(self._domain, word, fixed.from_fraction(low), fixed.from_fraction(high - low))
