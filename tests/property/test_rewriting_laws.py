"""Normal forms, one law a row: both sides of a law become the same term, and a near miss does not.

Each row is checked twice: by identity in the rewriter, and by value over bare terms on all inputs at four bits. What the second
check refutes is no law at all, so a row cannot hide a wrong rewrite.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bpfsmith.semantics.evaluate import Inputs, evaluate
from bpfsmith.semantics.terms import Term, Terms, show

NARROW, WIDE = 4, 32


@dataclass(frozen=True)
class Expressions:
    """Inputs and shorthands of a row: x and y are numbers, c and d are conditions."""

    t: Terms
    width: int

    @property
    def x(self) -> Term:
        return self.t.app("x", self.width)

    @property
    def y(self) -> Term:
        return self.t.app("y", self.width)

    @property
    def c(self) -> Term:
        return self.t.app("c", 0)

    @property
    def d(self) -> Term:
        return self.t.app("d", 0)

    def k(self, value: int) -> Term:
        return self.t.const(self.width, value)

    def op(self, name: str, *args: Term) -> Term:
        result: Term = getattr(self.t, name)(self.width, *args)
        return result

    def slice(self, term: Term, high: int, low: int) -> Term:
        return self.t.extract(term, term.width, high, low)

    def equals(self, term: Term, value: int) -> Term:
        return self.t.eq(self.width, term, self.k(value))

    def low(self, term: Term) -> Term:
        """The lowest bit, as a number."""
        return self.t.and_(self.width, term, self.k(1))

    def widened(self, term: Term) -> Term:
        return self.t.zext(term, term.width, self.width)


Side = Callable[[Expressions], Term]


@dataclass(frozen=True)
class Law:
    name: str
    left: Side
    right: Side
    near_miss: Side


LAWS = (
    Law(
        "a double is a shift",
        lambda e: e.op("add", e.x, e.x),
        lambda e: e.op("shl", e.x, e.k(1)),
        lambda e: e.op("shl", e.x, e.k(2)),
    ),
    Law(
        "x + x << 1 is 3 * x",
        lambda e: e.op("add", e.x, e.op("shl", e.x, e.k(1))),
        lambda e: e.op("mul", e.x, e.k(3)),
        lambda e: e.op("mul", e.x, e.k(5)),
    ),
    Law(
        "sums forget their order",
        lambda e: e.op("add", e.op("add", e.x, e.k(3)), e.y),
        lambda e: e.op("add", e.y, e.op("add", e.k(3), e.x)),
        lambda e: e.op("add", e.y, e.op("add", e.k(2), e.x)),
    ),
    Law(
        "~x is -x - 1",
        lambda e: e.op("xor", e.x, e.k(-1)),
        lambda e: e.op("sub", e.op("sub", e.k(0), e.x), e.k(1)),
        lambda e: e.op("sub", e.k(0), e.x),
    ),
    Law(
        "~ of both halves is ~ of the whole",
        lambda e: e.t.concat(
            e.t.xor(e.width // 2, e.slice(e.x, e.width - 1, e.width // 2), e.t.const(e.width // 2, -1)),
            e.width // 2,
            e.t.xor(e.width // 2, e.slice(e.x, e.width // 2 - 1, 0), e.t.const(e.width // 2, -1)),
            e.width // 2,
        ),
        lambda e: e.op("xor", e.x, e.k(-1)),
        lambda e: e.op("xor", e.x, e.k(-2)),
    ),
    Law(
        "sums of narrow numbers are as wide as they need, however they are grouped",
        lambda e: e.op("add", e.op("add", e.low(e.x), e.low(e.y)), e.op("add", e.low(e.x), e.k(1))),
        lambda e: e.widened(
            e.t.add(
                3,
                e.t.add(3, e.t.const(3, 1), e.t.zext(e.slice(e.y, 0, 0), 1, 3)),
                e.t.zext(e.t.concat(e.slice(e.x, 0, 0), 1, e.t.const(1, 0), 1), 2, 3),
            )
        ),
        lambda e: e.widened(e.t.add(2, e.t.zext(e.slice(e.y, 0, 0), 1, 2), e.t.zext(e.slice(e.x, 0, 0), 1, 2))),
    ),
    Law(
        "x % y is x - y * (x / y)",
        lambda e: e.op("urem", e.x, e.y),
        lambda e: e.op("sub", e.x, e.op("mul", e.y, e.op("udiv", e.x, e.y))),
        lambda e: e.op("sub", e.x, e.op("udiv", e.x, e.y)),
    ),
    Law(
        "a mask of low bits is a remainder",
        lambda e: e.op("and_", e.x, e.k(3)),
        lambda e: e.op("urem", e.x, e.k(4)),
        lambda e: e.op("urem", e.x, e.k(3)),
    ),
    Law(
        "shifting left and right again clears the upper bits",
        lambda e: e.op("lshr", e.op("shl", e.x, e.k(e.width - 2)), e.k(e.width - 2)),
        lambda e: e.op("and_", e.x, e.k(3)),
        lambda e: e.op("ashr", e.op("shl", e.x, e.k(e.width - 2)), e.k(e.width - 2)),
    ),
    Law(
        "disjoint parts add as they or",
        lambda e: e.op("add", e.op("shl", e.x, e.k(2)), e.op("and_", e.y, e.k(3))),
        lambda e: e.op("or_", e.op("and_", e.y, e.k(3)), e.op("shl", e.x, e.k(2))),
        lambda e: e.op("or_", e.op("and_", e.y, e.k(3)), e.op("shl", e.x, e.k(1))),
    ),
    Law(
        "x / c < k is x < k * c",
        lambda e: e.op("ult", e.op("udiv", e.x, e.k(3)), e.k(4)),
        lambda e: e.op("ult", e.x, e.k(12)),
        lambda e: e.op("ult", e.x, e.k(11)),
    ),
    Law(
        "x <= k is x < k + 1",
        lambda e: e.t.negate(e.op("ult", e.k(5), e.x)),
        lambda e: e.op("ult", e.x, e.k(6)),
        lambda e: e.op("ult", e.x, e.k(5)),
    ),
    Law(
        "nothing is below zero",
        lambda e: e.op("ult", e.x, e.k(0)),
        lambda e: e.t.false,
        lambda e: e.op("ult", e.x, e.k(1)),
    ),
    Law(
        "below a power of two the upper bits are zero",
        lambda e: e.op("ult", e.x, e.k(4)),
        lambda e: e.op("eq", e.op("lshr", e.x, e.k(2)), e.k(0)),
        lambda e: e.op("eq", e.op("lshr", e.x, e.k(1)), e.k(0)),
    ),
    Law(
        "negative is a set sign bit",
        lambda e: e.op("slt", e.x, e.k(0)),
        lambda e: e.op("eq", e.op("lshr", e.x, e.k(e.width - 1)), e.k(1)),
        lambda e: e.op("eq", e.op("lshr", e.x, e.k(e.width - 1)), e.k(0)),
    ),
    Law(
        "a comparison of masked words is one of slices",
        lambda e: e.op("eq", e.op("and_", e.x, e.k(6)), e.k(2)),
        lambda e: e.t.eq(2, e.slice(e.x, 2, 1), e.t.const(2, 1)),
        lambda e: e.t.eq(2, e.slice(e.x, 3, 2), e.t.const(2, 1)),
    ),
    Law(
        "x * c == v is x == v / c for odd c",
        lambda e: e.op("eq", e.op("mul", e.x, e.k(5)), e.k(5)),
        lambda e: e.op("eq", e.x, e.k(1)),
        lambda e: e.op("eq", e.x, e.k(5)),
    ),
    Law(
        "x + k == v is x == v - k, whatever wraps",
        lambda e: e.op("eq", e.op("add", e.x, e.k(-3)), e.k(2)),
        lambda e: e.op("eq", e.x, e.k(5)),
        lambda e: e.op("eq", e.x, e.k(-1)),
    ),
    Law(
        "the arms of a negated condition change places",
        lambda e: e.op("ite", e.t.negate(e.c), e.x, e.y),
        lambda e: e.op("ite", e.c, e.y, e.x),
        lambda e: e.op("ite", e.c, e.x, e.y),
    ),
    Law(
        "nested choices with a common arm are one choice",
        lambda e: e.op("ite", e.c, e.op("ite", e.d, e.x, e.y), e.y),
        lambda e: e.op("ite", e.t.all_of(e.c, e.d), e.x, e.y),
        lambda e: e.op("ite", e.t.any_of(e.c, e.d), e.x, e.y),
    ),
    Law(
        "the merge of two branches is the condition above them",
        lambda e: e.t.any_of(e.t.all_of(e.c, e.d), e.t.all_of(e.c, e.t.negate(e.d))),
        lambda e: e.c,
        lambda e: e.d,
    ),
    Law(
        "choices on one condition add arm by arm",
        lambda e: e.op("add", e.op("ite", e.c, e.x, e.k(1)), e.op("ite", e.c, e.k(2), e.y)),
        lambda e: e.op("ite", e.c, e.op("add", e.x, e.k(2)), e.op("add", e.y, e.k(1))),
        lambda e: e.op("ite", e.c, e.op("add", e.x, e.k(1)), e.op("add", e.y, e.k(2))),
    ),
    Law(
        "one value rules out another",
        lambda e: e.t.all_of(e.equals(e.x, 1), e.t.negate(e.equals(e.x, 2))),
        lambda e: e.equals(e.x, 1),
        lambda e: e.t.all_of(e.equals(e.x, 1), e.t.negate(e.equals(e.y, 2))),
    ),
    Law(
        "nothing has two values",
        lambda e: e.t.all_of(e.c, e.equals(e.x, 1), e.equals(e.x, 2)),
        lambda e: e.t.false,
        lambda e: e.t.all_of(e.c, e.equals(e.x, 1), e.equals(e.y, 2)),
    ),
    Law(
        "another value than one is among the others",
        lambda e: e.t.any_of(e.t.negate(e.equals(e.x, 1)), e.equals(e.x, 2)),
        lambda e: e.t.negate(e.equals(e.x, 1)),
        lambda e: e.t.any_of(e.equals(e.x, 1), e.t.negate(e.equals(e.x, 2))),
    ),
    Law(
        "everything lacks one of two values",
        lambda e: e.t.any_of(e.c, e.t.negate(e.equals(e.x, 1)), e.t.negate(e.equals(e.x, 2))),
        lambda e: e.t.true,
        lambda e: e.t.any_of(e.c, e.t.negate(e.equals(e.x, 1)), e.t.negate(e.equals(e.y, 2))),
    ),
    Law(
        "y * (y == 0 ? k : x) is y * x",
        lambda e: e.op("mul", e.y, e.op("ite", e.equals(e.y, 0), e.k(7), e.x)),
        lambda e: e.op("mul", e.y, e.x),
        lambda e: e.op("mul", e.y, e.op("ite", e.equals(e.y, 1), e.k(7), e.x)),
    ),
    Law(
        "a factor's guard goes where the factor is a slice of what is tested",
        lambda e: e.t.mul(2, e.slice(e.y, 2, 1), e.t.ite(2, e.equals(e.y, 0), e.t.const(2, 3), e.slice(e.x, 1, 0))),
        lambda e: e.t.mul(2, e.slice(e.y, 2, 1), e.slice(e.x, 1, 0)),
        lambda e: e.t.mul(2, e.slice(e.y, 2, 1), e.t.ite(2, e.equals(e.x, 0), e.t.const(2, 3), e.slice(e.x, 1, 0))),
    ),
    Law(
        "a factor's guard goes where it is one of several, and stays where a slice of the factor is tested",
        lambda e: e.op("mul", e.op("mul", e.x, e.op("ite", e.equals(e.y, 0), e.k(7), e.x)), e.y),
        lambda e: e.op("mul", e.op("mul", e.x, e.y), e.x),
        lambda e: e.op("mul", e.op("mul", e.x, e.op("ite", e.t.eq(2, e.slice(e.y, 1, 0), e.t.const(2, 0)), e.k(7), e.x)), e.y),
    ),
    Law(
        "the low bits of x / c are all of it where it has no more",
        lambda e: e.widened(e.slice(e.op("udiv", e.x, e.k(5)), e.width - 3, 0)),
        lambda e: e.op("udiv", e.x, e.k(5)),
        lambda e: e.widened(e.slice(e.op("udiv", e.x, e.k(5)), e.width - 4, 0)),
    ),
)

BY_NAME = pytest.mark.parametrize("law", LAWS, ids=[law.name for law in LAWS])


def at(**known: int) -> Inputs:
    """The inputs of these names and values."""
    return lambda name, width, args: known[name]


@BY_NAME
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_both_sides_become_one_term(law: Law, width: int) -> None:
    """Law: the rewriter gives both sides of a law as the same object, and its near miss as another."""
    e = Expressions(Terms(), width)
    left, right = law.left(e), law.right(e)
    assert left is right, f"{show(left)} is not {show(right)}"
    assert law.near_miss(e) is not right


@BY_NAME
def test_a_law_holds_on_all_inputs_and_its_near_miss_does_not(law: Law) -> None:
    """Law: over bare terms both sides agree on every four-bit input, and the near miss differs on one."""
    e = Expressions(Terms(rewrite=False), NARROW)
    told_apart = False
    for x, y, c, d in itertools.product(range(1 << NARROW), range(1 << NARROW), (0, 1), (0, 1)):
        known = {"x": x, "y": y, "c": c, "d": d}
        left, right, miss = evaluate([law.left(e), law.right(e), law.near_miss(e)], at(**known))
        assert left == right, f"{law.name} at {known}"
        told_apart = told_apart or miss != right
    assert told_apart


@pytest.mark.parametrize("width", [NARROW, 8, WIDE, 64])
@pytest.mark.parametrize("above", [0, 4, 8, 12])
@pytest.mark.parametrize("arms", [(1, 2), (1, 3), (0, 3)])
def test_constants_above_a_choice_survive_addition(width: int, above: int, arms: tuple[int, int]) -> None:
    """Law: (K | (c ? a : b)) + k is (c ? K + a + k : K + b + k), and so with a second choice in place of k."""
    e = Expressions(Terms(), width)
    choice = e.op("or_", e.op("ite", e.c, *map(e.k, arms)), e.k(above))
    other = e.op("or_", e.op("ite", e.c, e.op("and_", e.x, e.k(3)), e.k(1)), e.k(above))
    sums = [e.op("add", choice, e.k(1)), e.op("add", choice, other), e.op("sub", other, choice)]
    mask = (1 << width) - 1
    for c, x in itertools.product((0, 1), range(4)):
        first = above | arms[1 - c]
        second = above | (x if c else 1)
        values = evaluate(sums, at(c=c, x=x))
        assert values == [first + 1 & mask, first + second & mask, second - first & mask]


@pytest.mark.parametrize("divisor", [3, 5, 6, 7, 10, 12, 100, 250])
def test_divisibility_has_one_form(divisor: int) -> None:
    """Law: x % c == k is right for every eight-bit x, for each k, however the remainder is written."""
    t = Terms()
    x, c = t.app("x", 8), t.const(8, divisor)
    written = t.sub(8, x, t.mul(8, c, t.udiv(8, x, c)))
    for k in {0, 1, divisor - 1, divisor}:
        first, second = (t.eq(8, form, t.const(8, k)) for form in (written, t.urem(8, x, c)))
        assert first is second
        for value in range(256):
            assert evaluate([first], at(x=value))[0] == (value % divisor == k)


@pytest.mark.parametrize("divisor", [3, 5, 7, 10, 13, 100])
@pytest.mark.parametrize("shift", range(8, 17))
def test_multiplying_by_a_reciprocal_is_right_even_where_it_is_not_a_division(divisor: int, shift: int) -> None:
    """Law: (x * m) >> s is what it is for every eight-bit x, also for an m that rounds wrong somewhere."""
    t = Terms()
    x = t.app("x", 8)
    for magic in (-(-(1 << shift) // divisor), (1 << shift) // divisor):
        wide = t.lshr(32, t.mul(32, t.zext(x, 8, 32), t.const(32, magic)), t.const(32, shift))
        narrow = t.lshr(16, t.mul(16, t.zext(x, 8, 16), t.const(16, magic)), t.const(16, min(shift, 15)))
        for value in range(256):
            got = evaluate([wide, narrow], at(x=value))
            assert got == [value * magic >> shift, (value * magic & 0xFFFF) >> min(shift, 15)]


@pytest.mark.parametrize("connective", ["all_of", "any_of"])
def test_tests_of_one_value_are_connected_rightly(connective: str) -> None:
    """Law: any set of tests of x against constants, and their negations, beside another input's, is true where it should be."""
    t = Terms()
    x, y = t.app("x", 2), t.app("y", 2)
    tests = [t.eq(2, x, t.const(2, value)) for value in range(3)]
    literals = [*tests, *map(t.negate, tests), t.eq(2, y, t.const(2, 1))]
    chosen = [part for size in range(1, 5) for part in itertools.combinations(literals, size)]
    connected = [getattr(t, connective)(*part) for part in chosen]
    for vx, vy in itertools.product(range(4), range(4)):
        alone = dict(zip(literals, evaluate(literals, at(x=vx, y=vy)), strict=True))
        expected = [int((all if connective == "all_of" else any)(alone[item] for item in part)) for part in chosen]
        assert evaluate(connected, at(x=vx, y=vy)) == expected


@pytest.mark.parametrize("divisor", [3, 5, 7, 31, 100, 250])
def test_the_low_bits_of_a_quotient_are_all_of_it_when_they_suffice(divisor: int) -> None:
    """Law: whatever constant stands above a slice of an eight-bit x / c, the number is right; it is x / c itself exactly where
    the slice is of the lowest bits, has as many as x / c, and stands under zeros."""
    t = Terms()
    x = t.app("x", 8)
    quotient = t.udiv(8, x, t.const(8, divisor))
    made = {}
    for size, start, above, extra in itertools.product(range(1, 8), (0, 1), (0, 1, 1 << 3), (0, 8)):
        part = t.extract(quotient, 8, size + start - 1, start)
        made[size, start, above, extra] = t.concat(t.const(8 - size + extra, above), 8 - size + extra, part, size)
    for (size, start, above, _), term in made.items():
        suffices = start == 0 and (255 // divisor).bit_length() <= size and above % (1 << 8 - size) == 0
        assert (quotient in (term, *term.args[1:])) == suffices
    for value in range(256):
        assert evaluate(made.values(), at(x=value)) == [
            (value // divisor >> start & (1 << size) - 1) + (above % (1 << 8 - size + extra) << size)
            for size, start, above, extra in made
        ]


def long_magic(t: Terms, magic: int, shift: int, other: str = "x") -> Term:
    """(q + ((x - q) >> 1)) >> shift with q = (magic * x) >> 8, for an eight-bit x, or with another input in place of one x."""
    x = t.app("x", 8)
    wide = t.mul(16, t.zext(x, 8, 16), t.const(16, magic))
    q = t.extract(wide, 16, 15, 8)
    half = t.lshr(8, t.sub(8, t.app(other, 8), q), t.const(8, 1))
    return t.lshr(8, t.add(8, q, half), t.const(8, shift))


def test_a_long_multiplication_by_a_reciprocal_is_right_even_where_it_is_not_a_division() -> None:
    """Law: for every eight-bit x, M and s, the long way to x * (256 + M) >> 9 + s gives what it gives in bare terms."""
    chosen = list(itertools.product(range(1, 256), range(5)))
    rewritten, bare = ([long_magic(t, magic, shift) for magic, shift in chosen] for t in (Terms(), Terms(rewrite=False)))
    for value in range(256):
        assert evaluate(rewritten, at(x=value)) == evaluate(bare, at(x=value))


@pytest.mark.parametrize("divisor", [c for c in range(3, 32) if c & (c - 1)])
def test_a_long_multiplication_by_a_reciprocal_is_a_division(divisor: int) -> None:
    """Law: the long way with the least multiplier of nine bits that divides by c is x / c, as one term."""
    t = Terms()
    shift = divisor.bit_length() - 1
    magic = -(-(1 << 9 + shift) // divisor) - 256
    assert 0 < magic < 256
    assert long_magic(t, magic, shift) is t.udiv(8, t.app("x", 8), t.const(8, divisor))


def test_a_long_multiplication_of_two_numbers_is_no_division() -> None:
    """Law: what looks like a division by 7, but for another number in the difference, is what it is in bare terms."""
    rewritten, bare = (long_magic(t, 37, 2, "y") for t in (Terms(), Terms(rewrite=False)))
    for x, y in itertools.product(range(0, 256, 5), range(0, 256, 5)):
        assert evaluate([rewritten], at(x=x, y=y)) == evaluate([bare], at(x=x, y=y))
