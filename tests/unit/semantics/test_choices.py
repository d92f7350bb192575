"""A number that is one of a few constants looks the same in whatever order its conditions were asked."""

from __future__ import annotations

import random

import pytest

from bpfsmith.semantics.choices import ordered, with_literal
from bpfsmith.semantics.terms import Term, Terms
from tests.unit.semantics.test_fork import conditions, path_of, random_condition, value_in, worlds


def constants(t: Terms, rng: random.Random, depth: int) -> Term:
    """A number made of constants and conditions."""
    if not depth or rng.random() < 0.2:
        return t.const(8, rng.randrange(4))
    if rng.random() < 0.3:
        return t.add(8, constants(t, rng, depth - 1), constants(t, rng, depth - 1))
    condition = random_condition(t, rng, 1)
    if rng.random() < 0.3:
        condition = t.eq(8, constants(t, rng, depth - 1), t.const(8, rng.randrange(4)))
    return t.ite(8, condition, constants(t, rng, depth - 1), constants(t, rng, depth - 1))


@pytest.mark.parametrize("seed", range(80))
def test_a_number_in_order_is_the_same_number_on_its_path(seed: int) -> None:
    """Law: on every input of the path the ordered number has the value of the number."""
    rng, t = random.Random(seed), Terms()
    condition, number = random_condition(t, rng, rng.randrange(3)), constants(t, rng, 4)
    found = ordered(t, path_of(t, condition), number)
    for world in worlds():
        if value_in(condition, world):
            assert value_in(found, world) == value_in(number, world)


@pytest.mark.parametrize("seed", range(80))
def test_a_path_with_one_more_condition_is_both(seed: int) -> None:
    """Law: the inputs of a path with a literal are those of the path on which the literal holds."""
    rng, t = random.Random(seed), Terms()
    condition, literal = random_condition(t, rng, 2), rng.choice(conditions(t))
    longer = with_literal(t, path_of(t, condition), literal)
    for world in worlds():
        both = value_in(condition, world) and value_in(literal, world)
        assert bool(both) == (longer is not None and bool(value_in(t.all_of(*longer), world)))


def test_the_order_in_which_conditions_were_asked_is_forgotten() -> None:
    """Law: trees of the same choices over the same constants become one term, also where an offset was added before a join."""
    t = Terms()
    a, b, c = conditions(t)[:3]
    six, four, two = t.const(8, 6), t.const(8, 4), t.const(8, 2)
    first = t.ite(8, a, t.ite(8, b, six, four), t.ite(8, c, t.ite(8, b, four, two), two))
    later = t.ite(8, b, t.ite(8, c, t.ite(8, a, four, two), t.ite(8, a, four, t.const(8, 0))), t.ite(8, a, two, t.const(8, 0)))
    second = t.add(8, later, two)
    assert first is not second
    assert ordered(t, frozenset(), first) is ordered(t, frozenset(), second)
