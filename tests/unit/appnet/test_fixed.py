"""Fixed point: every operation within its stated error of the real value, the same on ints, on terms and in C's text."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfsmith.appnet import ctext, fixed
from bpfsmith.codegen.headers import INCLUDE_DIR
from bpfsmith.semantics.domain import CONCRETE
from bpfsmith.semantics.terms import Term, Terms

ULP = Fraction(1, fixed.ONE)
LOW, HIGH = Fraction(-(1 << 31)), fixed.to_fraction(fixed.LARGEST)

edges = [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, fixed.ONE, 5 * fixed.ONE, 1 << 48, (1 << 48) - 1]
raws = st.one_of(
    st.sampled_from(edges),
    st.builds(
        lambda bits, shift, sign: (bits >> shift) * sign % (1 << 64),
        st.integers(0, 2**63),
        st.integers(0, 63),
        st.sampled_from([1, -1]),
    ),
)


def clamp(value: Fraction) -> Fraction:
    return max(LOW, min(value, HIGH))


def value(raw: int) -> Fraction:
    return fixed.to_fraction(raw)


@given(raws, raws)
def test_sums_are_exact_and_saturate(a: int, b: int) -> None:
    assert value(fixed.add(CONCRETE, a, b)) == clamp(value(a) + value(b))
    assert value(fixed.sub(CONCRETE, a, b)) == clamp(value(a) - value(b))
    assert value(fixed.neg(CONCRETE, a)) == clamp(-value(a))


@given(raws, raws)
def test_a_product_errs_by_less_than_one_step_toward_zero(a: int, b: int) -> None:
    exact = clamp(value(a) * value(b))
    found = value(fixed.mul(CONCRETE, a, b))
    assert abs(found) <= abs(exact)
    assert abs(found - exact) < ULP


@given(raws, raws.filter(bool))
def test_a_quotient_errs_as_stated(a: int, b: int) -> None:
    exact = clamp(value(a) / value(b))
    error = abs(value(fixed.div(CONCRETE, a, b)) - exact)
    if abs(value(b)) < 65536:
        assert error < ULP
    else:
        assert error <= max(2 * ULP, 2 * ULP * abs(exact))


@given(raws, st.integers(1, 2**31 - 1))
def test_whole_factors_and_divisors_agree_with_the_reals(a: int, n: int) -> None:
    assert value(fixed.scale(CONCRETE, a, n)) == clamp(value(a) * n)
    assert abs(value(fixed.shrink(CONCRETE, a, n)) - value(a) / n) < ULP


@given(raws, st.integers(1, fixed.ONE - 1))
def test_a_part_is_the_product(a: int, fraction: int) -> None:
    assert fixed.part(CONCRETE, a, fraction) == fixed.mul(CONCRETE, a, fraction)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_seconds_are_signed_and_within_one_step(later: int, earlier: int) -> None:
    ns = (later - earlier) % (1 << 64)
    exact = clamp(Fraction(ns - (1 << 64) if ns >> 63 else ns, fixed.NS_PER_S))
    assert abs(value(fixed.seconds_between(CONCRETE, later, earlier)) - exact) < ULP


@given(st.integers(0, 2**32 - 1))
def test_a_draw_from_zero_to_one_is_its_word(word: int) -> None:
    assert fixed.uniform(CONCRETE, word, 0, fixed.ONE) == word


@pytest.mark.parametrize(
    ("probability", "words"),
    [(Fraction(1, 2), 1 << 31), (Fraction(1, 20), 214748365), (Fraction(0), 0), (Fraction(3), 1 << 32), (Fraction(-1), 0)],
)
def test_a_constant_threshold_is_the_ceiling(probability: Fraction, words: int) -> None:
    assert fixed.exact_threshold(probability) == words


@settings(max_examples=30)
@given(raws, raws.filter(bool))
def test_terms_compute_what_ints_compute(a: int, b: int) -> None:
    t = Terms()
    for operation in (fixed.add, fixed.sub, fixed.mul, fixed.div):
        term = operation(t, t.const(64, a), t.const(64, b))
        assert isinstance(term, Term)
        assert term.is_const
        assert term.number == operation(CONCRETE, a, b)


def test_the_shipped_header_is_printed_from_the_definitions() -> None:
    assert (INCLUDE_DIR / "bpfsmith" / "fixed.h").read_text() == ctext.fixed_header()
