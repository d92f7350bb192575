"""Samples put right to one speed: what the machine did is taken out, what a program takes is not."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from contextlib import ExitStack
from functools import partial

import pytest

from bpfsmith.cost.bench import Bench
from bpfsmith.cost.experiment import Case, Experiment, Opened, Ordering
from bpfsmith.cost.measure import Taken, conclude, sample
from bpfsmith.cost.speed import LEAST_CALM, Reading, between, is_calm, kept, power_of, put_right, slowdown, speed_of

ALONE, SHARED = Reading(3.0, 3.7), Reading(3.0, 1.9)
SLOWER = Reading(2.6, 3.7)


def moments(seed: int, count: int = 61) -> list[Reading]:
    draw = random.Random(seed)
    return [draw.choice((ALONE, ALONE, SHARED, SLOWER)) for _ in range(count)]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_what_the_machine_did_is_taken_out(power: float) -> None:
    """However much of the core a program uses, its samples agree afterwards, at what it takes in a typical moment."""
    for seed in range(20):
        readings, draw = moments(seed), random.Random(seed)
        samples = [100 * slowdown(now, ALONE, power) * draw.gauss(1, 0.01) for now in readings]
        right = put_right(samples, readings, ALONE, power_of(samples, readings, ALONE))
        assert statistics.median(right) == pytest.approx(100, rel=0.02)
        q1, _, q3 = statistics.quantiles(right, n=4)
        assert q3 - q1 < 3


def test_a_difference_between_programs_stays() -> None:
    """One that takes 15 % more in the same moments takes 15 % more afterwards."""
    readings = moments(1)
    samples = [100 * slowdown(now, ALONE, 0.8) for now in readings]
    more = [1.15 * item for item in samples]
    left, right = (put_right(times, readings, ALONE, power_of(times, readings, ALONE)) for times in (more, samples))
    assert statistics.median(left) / statistics.median(right) == pytest.approx(1.15)


@pytest.mark.parametrize(("expected", "left"), [(1.0, 100.0), (0.0, 100 * 3.7 / 1.9)])
def test_where_nothing_moved_what_is_expected_counts(expected: float, left: float) -> None:
    """A whole experiment beside a neighbour: a program is put right by the core's width, what waits is not."""
    samples = [100 * 3.7 / 1.9] * 20
    power = power_of(samples, [SHARED] * 20, ALONE, expected)
    assert statistics.median(put_right(samples, [SHARED] * 20, ALONE, power)) == pytest.approx(left)


def test_samples_during_which_the_speed_changed_are_dropped() -> None:
    """A neighbour that came in the middle of a sample says nothing of the sample; with few others it is better than nothing."""
    changed = between(ALONE, SHARED)
    assert not changed.steady
    assert between(ALONE, ALONE).steady
    assert kept([100.0] * 12 + [150.0] * 5, [(ALONE,)] * 12 + [(changed,)] * 5, ALONE) == [100.0] * 12
    assert kept([150.0, math.nan] * 3, [(changed,)] * 6, ALONE) == [150.0] * 3


def test_calm_moments_tell_alone_where_there_are_enough() -> None:
    """A sample counts among them when the core was our own for it and for its floor."""
    samples = [100.0] * 9 + [170.0] * 40
    alone, beside = (ALONE, ALONE), (ALONE, SHARED)
    assert kept(samples, [alone] * 9 + [beside] * 40, ALONE) == samples[:9]
    assert len(kept(samples[6:], [alone] * 3 + [beside] * 40, ALONE)) == 43


def test_there_are_more_rounds_where_few_moments_are_calm() -> None:
    """The core is our own in one reading of two together in five: rounds go on until each case has enough such samples."""
    now = itertools.cycle([ALONE, ALONE, SHARED, SHARED, SHARED])
    taken = sample(*experiment({"a": 1.0, "b": 2.0}, []), lambda: next(now), ALONE, 1.0)
    for name in ("a", "b"):
        assert sum(is_calm(item, ALONE) for item in taken.readings[name]) >= LEAST_CALM
    assert len(taken.samples["a"]) < 400


def test_nothing_is_left_of_an_empty_program() -> None:
    """What takes as long as its floor takes nothing above it, whatever the machine did, and however it is put right."""
    readings = moments(3)
    draw = random.Random(3)
    values = [30 * slowdown(now, ALONE, 0.6) * draw.gauss(1, 0.01) for now in readings]
    again = [30 * slowdown(now, ALONE, 0.6) * draw.gauss(1, 0.01) for now in readings]
    cases = (Case("floor", "floor", is_floor=True), Case("empty", "empty", None, "floor"))

    def opened(bench: Bench, stack: ExitStack) -> Opened:
        raise AssertionError

    taken = Taken(
        Experiment("x", "x", "", "x", "ns", cases, opened), {"floor": tuple(values), "empty": tuple(again)},
        {"floor": tuple(readings), "empty": tuple(readings)}, tuple(readings), (),
    )  # fmt: skip
    assert conclude(taken, ALONE).measured[0].estimate.value == pytest.approx(0, abs=0.3)


def test_the_speed_is_that_of_a_core_to_itself() -> None:
    """Also where a neighbour is there most of the time; slowdowns run from the fastest moment to the slowest."""
    speed = speed_of([ALONE] * 20 + [SHARED] * 80)
    assert speed.reading == ALONE
    assert list(speed.slowdowns) == sorted(speed.slowdowns)
    assert speed.slowdowns[0] == pytest.approx(1.0)
    assert speed.slowdowns[-1] == pytest.approx(3.7 / 1.9)


def experiment(actions: dict[str, float], order: list[str], *, odd: str = "") -> tuple[Experiment, Opened]:
    def opened(bench: Bench, stack: ExitStack) -> Opened:
        raise AssertionError

    def action(name: str) -> dict[str, float]:
        order.append(name)
        return {} if name == odd and len(order) % 2 else {name: actions[name]}

    cases = tuple(Case(name, name) for name in actions)
    made = Opened(tuple(partial(action, name) for name in actions))
    return Experiment("x", "x", "", "x", "ns", cases, opened), made


def test_rounds_interleave() -> None:
    """Each is sampled once in every round, the control as well, in an order that turns; the first round only warms up."""
    order: list[str] = []
    taken = sample(*experiment({"a": 1.0, "b": 2.0, "c": 3.0}, order), lambda: ALONE, ALONE, 0.0001)
    assert {len(values) for values in taken.samples.values()} == {15}
    rounds = [order[at : at + 4] for at in range(0, len(order), 4)]
    assert all(sorted(item) == ["a", "a", "b", "c"] for item in rounds)
    assert len({tuple(item) for item in rounds}) == 4


def test_a_sample_that_is_lacking_is_no_sample() -> None:
    """A case that says nothing in some rounds has the median of the others, and rounds stay side by side."""
    order: list[str] = []
    taken = sample(*experiment({"a": 1.0, "b": 2.0}, order, odd="b"), lambda: ALONE, ALONE, 0.0001)
    assert len(taken.samples["b"]) == len(taken.samples["a"]) == len(taken.readings["b"])
    result = conclude(taken)
    assert [item.estimate.value for item in result.measured] == [1.0, 2.0]
    assert result.measured[1].estimate.samples < 15


def test_putting_right_does_not_make_an_ordering() -> None:
    """Two things that take the same in the same rounds stay undecided, also where one of them is put right by too much."""
    readings = [SHARED if n % 2 else ALONE for n in range(40)]
    same = tuple(100.0 * slowdown(now, ALONE, 0.5) * (1 + 0.001 * (n % 7)) for n, now in enumerate(readings))
    cases = (Case("a", "a"), Case("b", "b", waits=True))

    def opened(bench: Bench, stack: ExitStack) -> Opened:
        raise AssertionError

    subject = Experiment("x", "x", "", "x", "ns", cases, opened, (Ordering("a", "b", "", ""),))
    shared = [SHARED] * 40  # nothing tells the power: a is put right, b is not
    taken = Taken(subject, {"a": same, "b": same}, {"a": tuple(shared), "b": tuple(shared)}, tuple(readings), ())
    assert conclude(taken, ALONE).findings[0].holds is None
