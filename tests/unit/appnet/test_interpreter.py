"""The reference interpreter: exact results by hand, and laws over many inputs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.appnet import core, fixed
from bpfsmith.appnet.interpreter import StepResult, initial_state, run, threshold
from bpfsmith.appnet.numbers import FixedNumbers, RealNumbers
from bpfsmith.appnet.parse import read_source
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.diagnostic import ToolError
from bpfsmith.source import SourceText
from tests.unit.appnet.appnet_corpus import PROGRAMS, program

REAL = RealNumbers()
STATE = "i: int\nj: int\nu: uint\nf: float\ng: float\nb: bool\nt: Instant\nm: Map<int, float>"


def element(lines: str, state: str = STATE, init: str = "pass") -> core.Element:
    return type_check(SourceText("x.appnet", program(lines, state, init))).element


def step(lines: str, before: dict[str, Any] | None = None, words: Iterable[int] = (), clock: Iterable[int] = ()) -> StepResult:
    """One request over exact reals, from zeros with `before` put in."""
    made = element(lines)
    return run(made, "req", initial_state(made, REAL) | (before or {}), iter(words), iter(clock), REAL)


@pytest.mark.parametrize(
    ("lines", "before", "name", "after"),
    [
        ("i = i + 1", {"i": 2**31 - 1}, "i", -(2**31)),
        ("i = i * i", {"i": 65536}, "i", 0),
        ("i = -i", {"i": -(2**31)}, "i", -(2**31)),
        ("i = i / j", {"i": -7, "j": 2}, "i", -3),
        ("i = i % j", {"i": -7, "j": 2}, "i", -1),
        ("i = i % j", {"i": 7, "j": -2}, "i", 1),
        ("i = i / j", {"i": -(2**31), "j": -1}, "i", -(2**31)),
        ("i = i % j", {"i": -(2**31), "j": -1}, "i", 0),
        ("u = u - 1", {}, "u", 2**32 - 1),
        ("u = -u", {"u": 1}, "u", 2**32 - 1),
        ("u = u / 2", {"u": 2**32 - 1}, "u", 2**31 - 1),
        ("i = min(i, 3) - max(j, 4)", {"i": 9, "j": 2}, "i", -1),
        ("f = i * 0.1", {"i": 3}, "f", Fraction(3, 10)),
        ("f = float(i / 2)", {"i": 7}, "f", Fraction(3)),
        ("f = 1 / f", {"f": Fraction(-3)}, "f", Fraction(-1, 3)),
        ("b = not b or i / j > 0", {}, "b", True),
        ("set(m, 1, 0.5)\nset(m, 1, 0.25)", {}, "m", {1: Fraction(1, 4)}),
        ("delete(m, 1)\ndelete(m, 2)", {"m": {1: Fraction(1)}}, "m", {}),
        (
            "match get(m, i):\n    None => set(m, i, 1)\n    Some(x) => set(m, i, x * 2)",
            {"m": {0: Fraction(3)}},
            "m",
            {0: Fraction(6)},
        ),
        ("v = get(m, i)\ni = 9\nmatch v:\n    Some(x) => f = x", {"m": {0: Fraction(3)}}, "f", Fraction(3)),
        ("match f:\n    0.5 => i = 1\n    _ => i = 2", {"f": Fraction(1, 2)}, "i", 1),
        ("match i:\n    1 => i = 2\n    2 => i = 3", {"i": 1}, "i", 2),
        ("match i:\n    1 => i = 2\ni = i + 10", {"i": 5}, "i", 15),
    ],
)
def test_one_step(lines: str, before: dict[str, Any], name: str, after: Any) -> None:
    result = step(lines, before)
    assert result.forwarded and result.message is None and not result.fault
    assert result.state[name] == after


def test_sends_end_the_step() -> None:
    text = "i = 1\nmatch b:\n    true => send(err('no'), Drop)\n    false => send(rpc, Down)"
    assert (step(text, {"b": True}).forwarded, step(text, {"b": True}).message, step(text, {"b": True}).state["i"]) == (
        False,
        "no",
        1,
    )
    assert (step(text).forwarded, step(text).message) == (True, None)


@pytest.mark.parametrize("text", ["i = 1 / j", "i = 1 % j", "u = 1 / u", "f = 1 / g"])
def test_division_by_zero_aborts_and_leaves_the_state(text: str) -> None:
    before = {"m": {1: Fraction(1)}}
    result = step(f"b = randomf(0, 1) < 0.5\nset(m, 1, 2)\nset(m, 2, 2)\n{text}", before, words=[0])
    assert (result.forwarded, result.message, result.fault, result.draws) == (False, "division by zero", "division by zero", 1)
    assert result.state["m"] == {1: Fraction(1)} and result.state["b"] is False
    assert before == {"m": {1: Fraction(1)}}


def test_a_full_map_is_a_fault_and_overwriting_is_not() -> None:
    made = element("set(m, i, 1.0)\ni = i + 1", state="@size(2)\nm: Map<int, float>\ni: int")
    state = initial_state(made, REAL)
    faults = []
    for _ in range(3):
        result = run(made, "req", state, iter(()), iter(()), REAL)
        state = result.state
        faults.append(result.fault)
    assert faults == ["", "", "map full"] and state["i"] == 2
    assert run(made, "req", state | {"i": 1}, iter(()), iter(()), REAL).fault == ""


def test_short_circuits_do_not_draw() -> None:
    text = "b = i > 0 and randomf(0, 1) < 0.5\nb = i > 0 or randomf(0, 1) < 0.5"
    assert step(text, {"i": 1}, words=[0]).draws == 1
    assert step(text, {"i": 0}, words=[0]).draws == 1
    assert step("b = randomf(0, 1) < 0.5 and randomf(0, 1) < 0.5", words=[0, 0]).draws == 2


def test_words_and_instants_are_taken_in_order() -> None:
    result = step("f = randomf(0, 4)\ng = randomf(2, 4)\nt = current_time()", words=[2**31, 2**30], clock=[5, 6])
    assert (result.state["f"], result.state["g"], result.state["t"]) == (2, Fraction(5, 2), 5)
    assert (result.draws, result.clocks) == (2, 1)


def test_too_few_words_are_an_error() -> None:
    with pytest.raises(ValueError, match="more draws"):
        step("f = randomf(0, 1)")


def test_time_differences_have_a_sign() -> None:
    result = step(
        "f = time_diff(current_time(), t)\ng = time_diff(t, current_time())", {"t": 10**9}, clock=[10**9 + 1, 3 * 10**9]
    )
    assert (result.state["f"], result.state["g"]) == (Fraction(1, 10**9), -2)


PROBABILITIES = ["0.05", "0.5", "0.0", "1.0", "0.3", "1e-9", "-1", "2"]


@pytest.mark.parametrize("written", PROBABILITIES)
@pytest.mark.parametrize("form", ["randomf(0, 1) {op} {p}", "r {op} {p}", "{p} {po} r"])
def test_draws_are_compared_by_words(written: str, form: str) -> None:
    """`u < p` and `u <= p` hold for exactly ceil(p * 2**32) words, from 0 up; `>` and `>=` for the others."""
    limit = max(0, min(2**32, -(-Fraction(written) * 2**32 // 1)))
    for op, mirrored, below in (("<", ">", True), ("<=", ">=", True), (">", "<", False), (">=", "<=", False)):
        text = "r = randomf(0, 1)\nb = " + form.format(op=op, po=mirrored, p=written)
        for word in {0, 1, 2**32 - 1, min(limit, 2**32 - 1), max(limit - 1, 0)}:
            words = [word, word]
            assert step(text, words=words).state["b"] is ((word < limit) == below), (text, word)


def test_ranges_scale_the_threshold() -> None:
    assert threshold(Fraction(0), Fraction(-1), Fraction(3)) == 2**30
    assert threshold(Fraction(1, 3), Fraction(0), Fraction(1)) == 2**32 // 3 + 1
    assert (threshold(Fraction(9), Fraction(0), Fraction(1)), threshold(Fraction(-9), Fraction(0), Fraction(1))) == (2**32, 0)


def test_a_constant_probability_in_the_state_is_exact() -> None:
    """0.7 is no multiple of 2**-32, and rounding it first would lose a word."""
    made = element("match randomf(0, 1) < p:\n    true => send(err('x'), Drop)", state="p: float", init="p = 0.7")
    numbers = FixedNumbers()
    state = {"p": fixed.from_fraction(Fraction(7, 10))}
    limit = threshold(Fraction(7, 10), Fraction(0), Fraction(1))
    assert limit != state["p"]
    outcomes = [run(made, "req", state, iter([word]), iter(()), numbers).forwarded for word in (limit - 1, limit)]
    assert outcomes == [False, True]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_fixed_point_follows_the_reals(path: Path) -> None:
    """Over a hundred steps of a realistic program, fixed point decides as the reals do and stays within 1e-5 of them."""
    made = type_check(read_source(path)).element
    exact, near = _history(made, RealNumbers()), _history(made, FixedNumbers())
    for (forwarded, values), (also, others) in zip(exact, near, strict=True):
        assert forwarded == also
        for item in made.state:
            if item.type == core.FLOAT:
                assert abs(values[item.name] - fixed.to_fraction(others[item.name])) < Fraction(1, 10**5)
            else:
                assert values[item.name] == others[item.name]


def _history(made: core.Element, numbers: Any) -> list[tuple[bool, dict[str, Any]]]:
    generator = random.Random(3)
    words = iter(lambda: generator.getrandbits(32), None)
    clock = itertools.count(10**12, 2_345_679)
    state = run(made, "init", initial_state(made, numbers), words, clock, numbers).state
    history = []
    for _ in range(100):
        result = run(made, "req", state, words, clock, numbers)
        state = result.state
        history.append((result.forwarded, state))
    return history


class _Generator:
    """Random programs over a few names; most are wrong somewhere, which is the point."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def block(self, depth: int, indent: str) -> list[str]:
        return [line for _ in range(self.random.randint(1, 3)) for line in self.statement(depth, indent)]

    def statement(self, depth: int, indent: str) -> list[str]:
        pick = self.random.random()
        if depth and pick < 0.35:
            subject, patterns = self.random.choice(
                [
                    ("b", ["true", "false"]),
                    (self.number(), ["0", "1", "_"]),
                    ("get(m, i)", ["Some(x)", "None"]),
                    ("v", ["Some(y)", "_"]),
                ]
            )
            lines = [f"{indent}match {subject}:"]
            for pattern in self.random.sample(patterns, self.random.randint(1, len(patterns))):
                lines += [f"{indent}    {pattern} =>", *self.block(depth - 1, indent + " " * 8)]
            return lines
        if pick < 0.42:
            return [indent + self.random.choice(["send(rpc, Down)", "send(err('e'), Drop)"])]
        if pick < 0.5:
            return [
                indent
                + self.random.choice(
                    [f"set(m, {self.number()}, 1)", f"delete(m, {self.number()})", f"v = get(m, {self.number()})"]
                )
            ]
        if pick < 0.6:
            return [f"{indent}r = randomf(0, 1)", f"{indent}b = r < 0.5"]
        return [f"{indent}{self.random.choice('xyzij')} = {self.number()} {self.random.choice('+-*/%')} {self.number()}"]

    def number(self) -> str:
        return self.random.choice(["x", "y", "z", "i", "j", "i", "1", "2"])


def test_what_the_checker_accepts_runs() -> None:
    """A program that type-checks never reads a local that is not set, whatever path it takes; no error is reported twice."""
    accepted = 0
    for seed in range(500):
        generator = _Generator(seed)
        text = "\n".join(generator.block(3, ""))
        try:
            made = element(text)
        except ToolError as error:
            places = [(item.id, item.primary) for item in error.diagnostics]
            assert len(places) == len(set(places)), text
            continue
        accepted += 1
        for _ in range(8):
            state = initial_state(made, REAL) | {name: generator.random.randint(-1, 2) for name in "ij"}
            state |= {
                "b": generator.random.random() < 0.5,
                "m": dict.fromkeys(range(generator.random.randint(0, 2)), Fraction(1)),
            }
            words = [generator.random.getrandbits(32) for _ in range(100)]
            run(made, "req", state, iter(words), itertools.count(), REAL)
    assert accepted > 30
