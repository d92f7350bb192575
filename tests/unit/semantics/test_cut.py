"""Light questions: products and quotients cut off. What they rule out is ruled out, and what is cheap stays in them."""

from __future__ import annotations

import itertools
import random

import pytest

from bpfsmith.semantics.cut import light
from bpfsmith.semantics.evaluate import Inputs, evaluate
from bpfsmith.semantics.solver import Satisfiable, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import Term, Terms, postorder

BITS = 3
VARIABLES = ("x", "y", "z")


def at(*values: int) -> Inputs:
    """The inputs of these values."""
    known = dict(zip(VARIABLES, values, strict=True))
    return lambda name, width, args: known[name]


def stands_for(condition: Term) -> set[str]:
    """The names of the free variables in a condition that stand for something that was cut off."""
    return {term.name for term in postorder(condition) if term.op == "app"} - set(VARIABLES)


def heavy_conditions(rng: random.Random, t: Terms) -> list[Term]:
    """Comparisons over products, quotients and sums of three small numbers, some of which repeat."""
    values = [t.app(name, BITS) for name in VARIABLES]
    for _ in range(6):
        a, b = rng.choice(values), rng.choice([*values, t.const(BITS, rng.getrandbits(BITS))])
        values.append(getattr(t, rng.choice(("mul", "mul", "udiv", "urem", "add", "sub")))(BITS, a, b))
    out = []
    for _ in range(3):
        a, b = rng.choice(values[3:]), rng.choice([*values, t.const(BITS, rng.getrandbits(BITS))])
        found = getattr(t, rng.choice(("eq", "ult", "slt")))(BITS, a, b)
        out.append(rng.choice((found, t.negate(found))))
    return out


def test_what_light_rules_out_is_ruled_out() -> None:
    """Law: where no values of the cut parts make the light conditions true, no input makes the conditions true."""
    seen: dict[tuple[bool, bool], int] = {}
    for seed in range(120):
        t = Terms()
        conditions = heavy_conditions(random.Random(seed), t)
        lighter = light(t, conditions)
        every_input = itertools.product(range(1 << BITS), repeat=len(VARIABLES))
        possible = any(all(evaluate(conditions, at(*values))) for values in every_input)
        answer = satisfiable(lighter)
        assert isinstance(answer, Satisfiable | Unsatisfiable)
        assert isinstance(answer, Satisfiable) or not possible, conditions
        if any(a is not b for a, b in zip(lighter, conditions, strict=True)):
            kind = possible, isinstance(answer, Satisfiable)
            seen[kind] = seen.get(kind, 0) + 1
    assert seen.get((False, False), 0) > 2, "light never decides"
    assert seen.get((False, True), 0) > 2, "light never loses anything"
    assert seen.get((True, True), 0) > 2


@pytest.mark.parametrize("operation", ["mul", "udiv"])
def test_a_product_or_quotient_of_variables_is_one_free_variable(operation: str) -> None:
    """Law: what is inside it is no part of the question any more, and each occurrence is the same variable."""
    t = Terms()
    x, y, z = (t.app(name, 64) for name in VARIABLES)
    heavy = getattr(t, operation)(64, t.mul(64, x, y), z)
    conditions = light(t, [t.ult(64, heavy, t.const(64, 100)), t.ult(64, x, heavy)])
    first, second = map(stands_for, conditions)
    assert len(first) == 1
    assert first == second
    assert {term.op for condition in conditions for term in postorder(condition)} <= {"ult", "app", "const"}
    assert "x" in {term.name for term in postorder(conditions[1])}


def test_a_product_and_its_negative_share_a_variable() -> None:
    """Law: x * y and -(x * y) cannot both be 3, and light knows it without knowing what a product is."""
    t = Terms()
    x, y, z = (t.app(name, 64) for name in VARIABLES)
    three, negative = t.const(64, 3), t.mul(64, t.const(64, -1), t.mul(64, x, y))
    both = light(t, [t.eq(64, t.mul(64, x, y), three), t.eq(64, negative, three)])
    assert isinstance(satisfiable(both), Unsatisfiable)
    assert stands_for(both[0]) == stands_for(both[1])
    assert len(stands_for(both[0])) == 1
    other = light(t, [t.eq(64, t.mul(64, x, z), three), t.eq(64, negative, three)])
    assert isinstance(satisfiable(other), Satisfiable)


@pytest.mark.parametrize("factor", [-1, 3, 6, -5, 1000])
def test_a_multiple_of_a_product_is_that_multiple_of_its_variable(factor: int) -> None:
    """Law: k * x * y is k times what x * y is, also where the product has three factors."""
    t = Terms()
    x, y, z = (t.app(name, 64) for name in VARIABLES)
    for product in (t.mul(64, x, y), t.mul(64, t.mul(64, x, y), z)):
        multiple = t.mul(64, t.const(64, factor), product)
        first, second = light(t, [t.ult(64, y, product), t.ult(64, y, multiple)])
        variable = first.args[1]
        assert variable.op == "app"
        assert second is t.ult(64, y, t.mul(64, t.const(64, factor), variable))


def test_a_multiple_is_cut_exactly_when_it_takes_many_additions() -> None:
    """Law: c * x stays when c or -c has at most three bits set, and is a free variable otherwise, for every byte c."""
    t = Terms()
    x, y = t.app("x", 8), t.app("y", 8)
    for constant in range(256):
        condition = t.ult(8, t.mul(8, t.const(8, constant), x), y)
        (lighter,) = light(t, [condition])
        cheap = min(bin(constant).count("1"), bin(-constant & 255).count("1")) <= 3
        assert (lighter is condition) == cheap, constant
        assert bool(stands_for(lighter)) != cheap


def test_what_is_neither_product_nor_quotient_is_left_alone() -> None:
    """Law: sums, masks, shifts and choices are the same terms in a light question; a division by a constant is not."""
    t = Terms()
    x, y = t.app("x", 64), t.app("y", 64)
    cheap = [
        t.ult(64, t.add(64, x, t.shl(64, y, t.const(64, 3))), y),
        t.eq(64, t.and_(64, x, t.const(64, 0xFF0)), y),
        t.slt(64, t.ite(64, t.ult(64, x, y), x, t.shl(64, x, y)), y),
    ]
    assert all(a is b for a, b in zip(light(t, cheap), cheap, strict=True))
    divided = t.ult(64, y, t.udiv(64, x, t.const(64, 10)))
    assert light(t, [divided])[0] is not divided
