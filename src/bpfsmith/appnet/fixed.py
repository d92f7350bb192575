"""AppNet's float, defined once: signed fixed point with 32 fractional bits, over any `Domain`.

    63  62                              32 31                               0
    +--+----------------------------------+----------------------------------+      value = two's complement number / 2**32
    |s |             integer              |             fraction             |      range [-2**31, 2**31), step 2**-32 (0.23e-9)
    +--+----------------------------------+----------------------------------+

The interpreter runs these definitions on ints, the prover on terms, and the generated C is printed from them (`ctext`), so that
a proof compares like with like. Only 64-bit unsigned operations are used. Every operation truncates toward zero and saturates
at the ends of the range; division by zero must be excluded by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from bpfsmith.semantics.domain import B, Domain, V

FRACTION_BITS: Final = 32
ONE: Final = 1 << FRACTION_BITS
LARGEST: Final = (1 << 63) - 1
SMALLEST: Final = 1 << 63  # as an unsigned 64-bit number: -2**31
NS_PER_S: Final = 1_000_000_000


def from_fraction(value: Fraction) -> int:
    """The nearest representable number, as an unsigned 64-bit word; saturates. Error at most 2**-33."""
    raw = round(value * ONE)
    return max(-(1 << 63), min(raw, LARGEST)) & ((1 << 64) - 1)


def to_fraction(raw: int) -> Fraction:
    """The exact value of an unsigned 64-bit word."""
    return Fraction(raw - (1 << 64) if raw >> 63 else raw, ONE)


# --- pieces -----------------------------------------------------------------------------------------------------------
def _c(d: Domain[V, B], value: int) -> V:
    return d.const(64, value)


def _negative(d: Domain[V, B], a: V) -> B:
    return d.slt(64, a, _c(d, 0))


def _magnitude(d: Domain[V, B], a: V) -> V:
    return d.ite(64, _negative(d, a), d.sub(64, _c(d, 0), a), a)


def _differ(d: Domain[V, B], a: V, b: V) -> B:
    """Do the signs differ?"""
    return _negative(d, d.xor(64, a, b))


def _saturated(d: Domain[V, B], negative: B) -> V:
    return d.ite(64, negative, _c(d, SMALLEST), _c(d, LARGEST))


def _with_sign(d: Domain[V, B], negative: B, magnitude: V, too_large: B) -> V:
    """A magnitude below 2**63 with its sign, or the end of the range."""
    value = d.ite(64, negative, d.sub(64, _c(d, 0), magnitude), magnitude)
    return d.ite(64, too_large, _saturated(d, negative), value)


# --- operations -------------------------------------------------------------------------------------------------------
def add(d: Domain[V, B], a: V, b: V) -> V:
    total = d.add(64, a, b)
    overflow = _negative(d, d.and_(64, d.xor(64, a, total), d.xor(64, b, total)))
    return d.ite(64, overflow, _saturated(d, _negative(d, a)), total)


def sub(d: Domain[V, B], a: V, b: V) -> V:
    difference = d.sub(64, a, b)
    overflow = _negative(d, d.and_(64, d.xor(64, a, b), d.xor(64, a, difference)))
    return d.ite(64, overflow, _saturated(d, _negative(d, a)), difference)


def neg(d: Domain[V, B], a: V) -> V:
    return d.ite(64, d.eq(64, a, _c(d, SMALLEST)), _c(d, LARGEST), d.sub(64, _c(d, 0), a))


def mul(d: Domain[V, B], a: V, b: V) -> V:
    """Four 32 x 32 bit products; exact up to truncation, error below 2**-32."""
    negative = _differ(d, a, b)
    x, y = _magnitude(d, a), _magnitude(d, b)
    half, low = _c(d, 32), _c(d, 0xFFFFFFFF)
    xh, xl, yh, yl = d.lshr(64, x, half), d.and_(64, x, low), d.lshr(64, y, half), d.and_(64, y, low)
    high = d.mul(64, xh, yh)
    middle = d.add(64, d.mul(64, xh, yl), d.mul(64, xl, yh))
    middle = d.add(64, middle, d.lshr(64, d.mul(64, xl, yl), half))
    total = d.add(64, d.shl(64, high, half), middle)
    top = d.or_(64, d.lshr(64, high, _c(d, 31)), d.lshr(64, d.or_(64, middle, total), _c(d, 63)))
    return _with_sign(d, negative, total, d.negate(d.eq(64, top, _c(d, 0))))


Divide = Callable[[V, V], tuple[V, V]]
"""(quotient, remainder) of two unsigned 64-bit numbers; what it makes of a divisor of 0 does not matter here."""


def div(d: Domain[V, B], a: V, b: V, divide: Divide[V] | None = None) -> V:
    """Long division in two digits of 16 bits. Exact up to truncation for divisors below 65536 in size; a larger divisor
    loses its lowest 15 bits first, an error below 2**-31 relative to the quotient."""
    negative = _differ(d, a, b)
    if divide is None:

        def divide(n: V, by: V) -> tuple[V, V]:
            return d.udiv(64, n, by), d.urem(64, n, by)

    x, y = _magnitude(d, a), _magnitude(d, b)
    whole, rest = divide(x, y)
    large = d.negate(d.ult(64, y, _c(d, 1 << 48)))
    drop = d.ite(64, large, _c(d, 15), _c(d, 0))
    rest, y = d.lshr(64, rest, drop), d.lshr(64, y, drop)
    digit = _c(d, 16)
    scaled = d.shl(64, rest, digit)
    first, rest = divide(scaled, y)
    second, _ = divide(d.shl(64, rest, digit), y)
    fraction = d.add(64, d.shl(64, first, digit), second)
    total = d.add(64, d.shl(64, whole, _c(d, 32)), fraction)
    overflow = d.any_of(d.negate(d.ult(64, whole, _c(d, 1 << 31))), _negative(d, total))
    return _with_sign(d, negative, total, overflow)


def scale(d: Domain[V, B], a: V, factor: V) -> V:
    """Times a whole number (0 < factor < 2**31, a plain integer); exact."""
    negative = _negative(d, a)
    size = _magnitude(d, a)
    too_large = d.ult(64, d.udiv(64, _c(d, LARGEST), factor), size)
    return _with_sign(d, negative, d.mul(64, size, factor), too_large)


def part(d: Domain[V, B], a: V, fraction: V) -> V:
    """Times a number between 0 and 1 (0 < fraction < 2**32, in units of 2**-32): a product that cannot overflow."""
    negative = _negative(d, a)
    size = _magnitude(d, a)
    half = _c(d, 32)
    whole, rest = d.lshr(64, size, half), d.and_(64, size, _c(d, 0xFFFFFFFF))
    total = d.add(64, d.mul(64, whole, fraction), d.lshr(64, d.mul(64, rest, fraction), half))
    return d.ite(64, negative, d.sub(64, _c(d, 0), total), total)


def shrink(d: Domain[V, B], a: V, divisor: V) -> V:
    """Divided by a whole number (0 < divisor < 2**31, a plain integer); truncates toward zero."""
    quotient = d.udiv(64, _magnitude(d, a), divisor)
    return d.ite(64, _negative(d, a), d.sub(64, _c(d, 0), quotient), quotient)


def from_int(d: Domain[V, B], a: V) -> V:
    """A signed 32-bit number, sign-extended to 64 bits; exact."""
    return d.shl(64, a, _c(d, 32))


def from_uint(d: Domain[V, B], a: V) -> V:
    """An unsigned 32-bit number, zero-extended to 64 bits; from 2**31 on it saturates."""
    return d.ite(64, d.ult(64, a, _c(d, 1 << 31)), d.shl(64, a, _c(d, 32)), _c(d, LARGEST))


def seconds_between(d: Domain[V, B], later: V, earlier: V) -> V:
    """time_diff: from two clock readings in ns (64 bits) to seconds, negative when `later` is before `earlier`."""
    distance = d.sub(64, later, earlier)
    negative = _negative(d, distance)
    ns = d.ite(64, negative, d.sub(64, _c(d, 0), distance), distance)
    seconds, rest = d.udiv(64, ns, _c(d, NS_PER_S)), d.urem(64, ns, _c(d, NS_PER_S))
    fraction = d.udiv(64, d.shl(64, rest, _c(d, 32)), _c(d, NS_PER_S))
    total = d.add(64, d.shl(64, seconds, _c(d, 32)), fraction)
    return _with_sign(d, negative, total, d.negate(d.ult(64, seconds, _c(d, 1 << 31))))


def uniform(d: Domain[V, B], word: V, low: V, span: V) -> V:
    """randomf as a number: low + span * word / 2**32, for a 32-bit word (zero-extended) and 0 <= span <= 2**31."""
    high, rest = d.lshr(64, span, _c(d, 32)), d.and_(64, span, _c(d, 0xFFFFFFFF))
    return d.add(64, low, d.add(64, d.mul(64, word, high), d.lshr(64, d.mul(64, word, rest), _c(d, 32))))


def threshold(d: Domain[V, B], probability: V) -> V:
    """How many of the 2**32 words lie below a probability: clamped to [0, 2**32]."""
    small = _negative(d, probability)
    large = d.negate(d.slt(64, probability, _c(d, ONE)))
    return d.ite(64, small, _c(d, 0), d.ite(64, large, _c(d, ONE), probability))


def exact_threshold(probability: Fraction) -> int:
    """The same for a constant, which need not be representable: ceil(p * 2**32), clamped."""
    return max(0, min(-(-probability * ONE // 1), ONE))


@dataclass(frozen=True, slots=True)
class Operation:
    """One of the operations above with what the generator and the documentation need: its C name, its parameters, its error.

    `opaque` operations are compiled on their own: clang may not optimise across their borders, so that a proof can take them
    one by one. "variables" lets it see operands that are constants, "all" does not."""

    name: str
    parameters: tuple[str, ...]
    define: Callable[..., Any]
    error: str
    opaque: str = ""


OPERATIONS: Final = {
    op.name: op
    for op in (
        Operation("fx_add", ("a", "b"), add, "exact; saturates"),
        Operation("fx_sub", ("a", "b"), sub, "exact; saturates"),
        Operation("fx_neg", ("a",), neg, "exact; saturates"),
        Operation("fx_mul", ("a", "b"), mul, "below 2^-32, toward zero; saturates", opaque="all"),
        Operation("fx_div", ("a", "b"), div, "below 2^-32 (divisors from 65536: 2^-31 relative); saturates", opaque="all"),
        Operation("fx_scale", ("a", "n"), scale, "a times a whole number: exact; saturates"),
        Operation("fx_part", ("a", "f"), part, "a by a number between 0 and 1: below 2^-32, toward zero", opaque="variables"),
        Operation("fx_shrink", ("a", "n"), shrink, "a by a whole number: below 2^-32"),
        Operation("fx_from_int", ("a",), from_int, "exact"),
        Operation("fx_from_uint", ("a",), from_uint, "exact below 2^31; saturates"),
        Operation(
            "fx_seconds", ("later", "earlier"), seconds_between, "below 2^-32 s; saturates at 2^31 s", opaque="variables"
        ),
        Operation("fx_uniform", ("word", "low", "span"), uniform, "below 2^-32 * span"),
        Operation("fx_threshold", ("p",), threshold, "exact"),
    )
}
