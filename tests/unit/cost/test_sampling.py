"""What may be concluded from samples: differences that are there are found, those that are not are not."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from bpfsmith.cost.sampling import (
    NotResolved,
    Resolved,
    above,
    compare,
    estimate,
    noise_of,
)

ROUNDS = 61  # as many as `measure` takes at most
positive = st.floats(0.1, 1e6, allow_nan=False)


def machine(seed: int, times: list[float], rounds: int) -> list[list[float]]:
    """Samples of programs that take `times`: the machine's speed flips by 20 % between rounds, and it interrupts one in ten."""
    draw = random.Random(seed)
    out: list[list[float]] = [[] for _ in times]
    speed = 1.0
    for _ in range(rounds):
        if draw.random() < 0.3:
            speed = draw.choice((1.0, 1.2))
        for samples, time in zip(out, times, strict=True):
            interrupted = draw.expovariate(1 / time) if draw.random() < 0.1 else 0.0
            samples.append(time * speed * draw.gauss(1, 0.02) + interrupted)
    return out


def test_a_planted_difference_of_15_percent_is_found() -> None:
    """On a machine that flips its speed by 20 %, 15 % more work resolves as more."""
    for seed in range(60):
        slow, fast, twin = machine(seed, [115, 100, 100], ROUNDS)
        found = compare(slow, fast, noise_of(fast, twin))
        assert isinstance(found, Resolved), (seed, found)
        assert not found.left_is_less
        assert 1.08 < found.ratio < 1.22


def test_a_comparison_of_a_thing_with_itself_does_not_resolve() -> None:
    """A/A comparisons find nothing on any of 300 machines."""
    for seed in range(300):
        one, other, twin = machine(seed, [100, 100, 100], ROUNDS)
        assert isinstance(compare(one, other, noise_of(one, twin)), NotResolved), seed


@given(st.lists(positive, min_size=1, max_size=80))
def test_the_median_lies_in_its_interval(samples: list[float]) -> None:
    """low <= value <= high, and the quartiles stand on both sides of it."""
    found = estimate(samples)
    assert found.low <= found.value <= found.high
    assert found.q1 <= found.value <= found.q3


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    """Of 600 draws of 31 samples, 99 % of the intervals hold the median of the distribution."""
    draw = random.Random(1)
    held = 0
    for _ in range(600):
        found = estimate([draw.expovariate(1) for _ in range(31)])
        held += found.low <= math.log(2) <= found.high
    assert held / 600 >= 0.98


def test_few_samples_bound_nothing() -> None:
    """With fewer than eight samples no interval has 99 % confidence, and nothing resolves."""
    assert estimate([1.0, 2.0, 3.0]).high == math.inf
    assert isinstance(compare([1.0] * 4, [9.0] * 4), NotResolved)


@given(st.lists(st.tuples(positive, positive), min_size=10, max_size=40))
def test_a_comparison_turned_round_says_the_same(pairs: list[tuple[float, float]]) -> None:
    """compare(a, b) resolves if and only if compare(b, a) does, the other way."""
    left, right = zip(*pairs, strict=True)
    one, other = compare(left, right), compare(right, left)
    assert isinstance(one, Resolved) == isinstance(other, Resolved)
    if isinstance(one, Resolved) and isinstance(other, Resolved):
        assert one.left_is_less != other.left_is_less


def test_what_is_below_its_floor_is_compared_by_difference() -> None:
    """Where ratios mean nothing the sign of the difference decides."""
    draw = random.Random(3)
    nothing = [draw.gauss(0, 0.1) for _ in range(31)]
    something = [draw.gauss(5, 0.1) for _ in range(31)]
    found = compare(nothing, something)
    assert isinstance(found, Resolved)
    assert found.left_is_less
    assert isinstance(compare(nothing, [draw.gauss(0, 0.1) for _ in range(31)]), NotResolved)


@given(st.lists(st.tuples(positive, positive), min_size=1))
def test_a_floor_comes_off_its_own_round(pairs: list[tuple[float, float]]) -> None:
    """A machine that is slower for a round is slower for the floor too."""
    samples, floor = zip(*pairs, strict=True)
    assert above(samples, floor) == tuple(a - b for a, b in pairs)
