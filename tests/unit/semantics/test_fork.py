"""Where paths meet, a value is the left one's on the left path and the right one's on the right path."""

from __future__ import annotations

import itertools
import random

import pytest

from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.fork import decides, fork
from bpfsmith.semantics.terms import BOOL, Term, Terms

BITS = ("a", "b", "c", "d")
NUMBER = "n"


def conditions(t: Terms) -> list[Term]:
    number = t.app(NUMBER, 8)
    flags = [t.app(name, BOOL) for name in BITS]
    return [*flags, *(t.eq(8, number, t.const(8, value)) for value in range(3))]


def random_condition(t: Terms, rng: random.Random, depth: int) -> Term:
    if not depth:
        condition = rng.choice(conditions(t))
        return condition if rng.random() < 0.5 else t.negate(condition)
    parts = [random_condition(t, rng, depth - 1) for _ in range(rng.randrange(1, 4))]
    return t.all_of(*parts) if rng.random() < 0.5 else t.any_of(*parts)


def random_number(t: Terms, rng: random.Random, depth: int) -> Term:
    if not depth or rng.random() < 0.2:
        return t.app(f"x{rng.randrange(3)}", 8) if rng.random() < 0.7 else t.const(8, rng.randrange(3))
    return t.ite(8, random_condition(t, rng, 1), random_number(t, rng, depth - 1), random_number(t, rng, depth - 1))


def path_of(t: Terms, condition: Term) -> frozenset[Term]:
    return frozenset(condition.args if condition.op == "conj" else (condition,))


def worlds() -> list[dict[str, int]]:
    out = []
    for bits in itertools.product((0, 1), repeat=len(BITS)):
        for number in range(4):
            out.append({**dict(zip(BITS, bits, strict=True)), NUMBER: number, "x0": 7, "x1": 9, "x2": number})
    return out


def value_in(term: Term, world: dict[str, int]) -> int:
    return evaluate([term], lambda name, width, args: world[name])[0]


@pytest.mark.parametrize("seed", range(60))
def test_a_joined_value_is_the_one_of_the_path_that_was_taken(seed: int) -> None:
    rng, t = random.Random(seed), Terms()
    split = random_condition(t, rng, rng.randrange(3))
    left = t.all_of(split, random_condition(t, rng, 2))
    right = t.all_of(t.negate(split), random_condition(t, rng, 2))
    if t.false in (left, right):
        return
    paths = fork(t, path_of(t, left), path_of(t, right))
    then, other = random_number(t, rng, 3), random_number(t, rng, 3)
    joined = paths.ite(8, then, other)
    for world in worlds():
        if value_in(left, world):
            assert value_in(joined, world) == value_in(then, world)
        elif value_in(right, world):
            assert value_in(joined, world) == value_in(other, world)


@pytest.mark.parametrize("seed", range(60))
def test_what_a_path_decides_holds_in_every_world_of_the_path(seed: int) -> None:
    rng, t = random.Random(seed), Terms()
    path, condition = random_condition(t, rng, 3), random_condition(t, rng, 2)
    said = decides(t, path_of(t, path), condition)
    if said is not None:
        assert {value_in(condition, world) for world in worlds() if value_in(path, world)} <= {said}


@pytest.mark.parametrize("seed", range(80))
def test_what_is_decided_besides_a_disjunction_holds_without_it(seed: int) -> None:
    """Law: what a path decides besides one of its disjunctions holds in every world of the rest of the path."""
    rng, t = random.Random(seed), Terms()
    path = path_of(t, t.all_of(random_condition(t, rng, 2), random_condition(t, rng, 2)))
    asked = [random_condition(t, rng, depth) for depth in (0, 1, 2)]
    for each in sorted((item for item in path if item.op == "disj"), key=lambda item: item.ident):
        rest = t.all_of(*(path - {each}))
        for condition in (*asked, each, t.negate(each), *each.args):
            found = decides(t, path, condition, besides=each)
            if found is not None:
                assert all(bool(value_in(condition, world)) == found for world in worlds() if value_in(rest, world))


def test_negations_are_made_in_an_order_that_does_not_depend_on_addresses() -> None:
    """Law: terms are numbered alike in every run, so that verdicts repeat."""
    t = Terms()
    keep = [object() for _ in range(1000)]
    tests = []
    for number in range(60):
        tests.append(t.ult(8, t.app("x", 8), t.const(8, 3 * number + 5)))
        del keep[number::7]
    t.all_of(*tests)
    negations = [t.negate(test).ident for test in tests]
    assert negations == sorted(negations)


def test_branches_joined_in_either_order_are_one_term() -> None:
    """Three paths, two of which agree: the first branch alone chooses, in whichever order they meet."""
    t = Terms()
    first, second = t.app("a", BOOL), t.app("b", BOOL)
    x, y = t.app("x0", 8), t.app("x1", 8)
    one, two, three = {first, second}, {first, t.negate(second)}, {t.negate(first), second}
    joined = []
    for order in ([(one, x), (two, x), (three, y)], [(one, x), (three, y), (two, x)], [(three, y), (two, x), (one, x)]):
        path, value = frozenset(order[0][0]), order[0][1]
        for more, other in order[1:]:
            value = fork(t, path, frozenset(more)).ite(8, value, other)
            common = path & more
            either = t.any_of(t.all_of(*(path - common)), t.all_of(*(frozenset(more) - common)))
            path = common | path_of(t, either)
        joined.append(value)
    assert joined == [t.ite(8, first, x, y)] * 3


def test_deep_numbers_are_joined_too() -> None:
    """A number that a thousand steps made is no deeper than the interpreter's stack can bear."""
    t = Terms()
    a, b = t.app("a", BOOL), t.app("b", BOOL)
    value = t.ite(8, b, t.app("x0", 8), t.app("x1", 8))
    for step in range(2000):
        value = t.xor(8, t.add(8, value, t.app("x2", 8)), t.const(8, step % 250 + 1))
    joined = fork(t, frozenset({a, b}), frozenset({t.negate(a)})).ite(8, value, t.const(8, 0))
    assert joined.op == "ite"


def test_what_every_way_of_a_disjunction_says_is_found_among_many_others() -> None:
    """Law: a condition that holds on each way of one disjunction holds, and one that fails on each fails, whatever other
    disjunctions the path knows; these are not gone into."""
    t = Terms()
    a, b, c = (t.app(name, BOOL) for name in "abc")
    others = [
        t.any_of(*(t.all_of(t.app(f"p{n}{way}", BOOL), t.app(f"q{n}{way}", BOOL)) for way in range(3))) for n in range(40)
    ]
    held = t.any_of(t.all_of(a, c), t.all_of(b, c, t.app("d", BOOL)), t.all_of(c, t.app("e", BOOL), t.negate(a)))
    known = frozenset((held, *others))
    assert decides(t, known, c) is True
    assert decides(t, known, t.negate(c)) is False
    made = len(t)
    assert decides(t, frozenset((*others, a)), t.app("z", BOOL)) is None
    assert len(t) <= made + 2  # the condition and what it is negated
