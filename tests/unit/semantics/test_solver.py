"""Both solvers answer alike, answers agree with brute force, and models are models."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading

import pytest

from bpfsmith.semantics.evaluate import Inputs, evaluate
from bpfsmith.semantics.solver import Answer, Limits, NoAnswer, Satisfiable, SolverName, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import Term, Terms, postorder

SOLVERS: tuple[SolverName, ...] = ("bitwuzla", "z3")
BINARY = ("add", "sub", "mul", "udiv", "urem", "and_", "or_", "xor", "shl", "lshr", "ashr")


def random_condition(rng: random.Random, t: Terms, width: int, functions: bool) -> Term:
    values = [t.app("x", width), t.app("y", width), t.const(width, rng.getrandbits(width)), t.const(width, 0)]
    conditions = [t.app("p", 0)]
    for _ in range(rng.randrange(3, 12)):
        kind = rng.randrange(7)
        a, b, c = rng.choice(values), rng.choice(values), rng.choice(conditions)
        if kind <= 1:
            values.append(getattr(t, rng.choice(BINARY))(width, a, b))
        elif kind == 2:
            values.append(t.ite(width, c, a, b))
        elif kind == 3:
            size = rng.randrange(1, width + 1)
            values.append(getattr(t, rng.choice(("zext", "sext")))(t.extract(a, width, size - 1, 0), size, width))
        elif kind == 4 and functions:
            values.append(t.app("f", width, a))
            conditions.append(t.app("q", 0, b))
        elif kind == 5:
            conditions.append(getattr(t, rng.choice(("eq", "ult", "slt")))(width, a, b))
        else:
            conditions.append(rng.choice((t.all_of, t.any_of))(c, t.negate(rng.choice(conditions)), rng.choice(conditions)))
    return conditions[-1]


def table(known: dict[str, int]) -> Inputs:
    return lambda name, width, args: known[name]


def assert_is_model(answer: Satisfiable, conditions: list[Term]) -> None:
    assert all(evaluate(conditions, answer.inputs())), f"{answer.solver} gave {answer.values}, which is no model"


@pytest.mark.parametrize("rewrite", [True, False], ids=["rewritten", "bare"])
@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_both_solvers_and_the_model_agree(width: int, rewrite: bool) -> None:
    """Law: bitwuzla and z3 give the same answer, and what they give as a model makes every condition true."""
    answers: dict[type[Answer], int] = {}
    for seed in range(30):
        rng, t = random.Random(f"{width}.{seed}"), Terms(rewrite)
        conditions = [random_condition(rng, t, width, functions=True) for _ in range(2)]
        first, second = (satisfiable(conditions, Limits(solver=name)) for name in SOLVERS)
        assert type(first) is type(second), conditions
        for answer in (first, second):
            if isinstance(answer, Satisfiable):
                assert_is_model(answer, conditions)
        answers[type(first)] = answers.get(type(first), 0) + 1
    assert answers.get(Satisfiable, 0) > 2
    assert answers.get(Unsatisfiable, 0) > 2


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_answer_is_that_of_brute_force(solver: SolverName) -> None:
    """Law: a conjunction is satisfiable exactly when some input of the few bits there are makes it true."""
    for seed in range(40):
        rng, t = random.Random(seed), Terms(rewrite=bool(seed % 2))
        conditions = [random_condition(rng, t, 3, functions=False) for _ in range(2)]
        names = sorted({(term.name, term.width) for term in postorder(*conditions) if term.op == "app"})
        spaces = [range(1 << (width or 1)) for _, width in names]
        tables = [dict(zip([name for name, _ in names], values, strict=True)) for values in itertools.product(*spaces)]
        expected = any(all(evaluate(conditions, table(known))) for known in tables)
        assert isinstance(satisfiable(conditions, Limits(solver=solver)), Satisfiable) == expected, conditions


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_input_is_a_function_of_its_arguments(solver: SolverName) -> None:
    """Law: f(x) and f(y) cannot differ when x = y, also when one argument is a constant."""
    t = Terms()
    x = t.app("x", 8)
    differ = t.negate(t.eq(8, t.app("f", 8, x), t.app("f", 8, t.const(8, 3))))
    assert isinstance(satisfiable([differ, t.eq(8, x, t.const(8, 3))], Limits(solver=solver)), Unsatisfiable)
    answer = satisfiable([differ], Limits(solver=solver))
    assert isinstance(answer, Satisfiable)
    assert_is_model(answer, [differ])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["packet", "map:.bss", 'weird name|with "quotes"', "a(1):8"])
def test_names_of_inputs_do_not_run_into_each_other(solver: SolverName, name: str) -> None:
    """Law: inputs with different names or arguments are independent, whatever characters the names hold."""
    t = Terms()
    inputs = [t.app(name, 8, t.const(64, 0)), t.app(name, 8, t.const(64, 1)), t.app(f"{name}2", 8), t.app(name, 16)]
    conditions = [t.eq(term.width, term, t.const(term.width, 10 + at)) for at, term in enumerate(inputs)]
    answer = satisfiable(conditions, Limits(solver=solver))
    assert isinstance(answer, Satisfiable)
    assert_is_model(answer, conditions)


def test_giving_up_is_an_answer() -> None:
    """Law: what the limits do not allow is NoAnswer with a reason, never a verdict."""
    t = Terms()
    x, y = t.app("x", 64), t.app("y", 64)
    factored = t.eq(64, t.mul(64, x, y), t.const(64, 0xF000_0000_0000_0B01))
    hard = [
        factored,
        t.ult(64, t.const(64, 1 << 31), x),
        t.ult(64, x, t.const(64, 1 << 33)),
        t.ult(64, y, t.const(64, 1 << 33)),
    ]
    assert isinstance(satisfiable(hard, Limits(bitwuzla_steps=1, z3_rlimit=1_000)), NoAnswer)
    assert isinstance(satisfiable([]), Satisfiable)
    assert isinstance(satisfiable([t.false]), Unsatisfiable)


def test_an_interrupt_ends_the_work_while_z3_is_at_it() -> None:
    """Law: Ctrl-C that z3 takes for itself is an interrupt all the same, and no answer."""
    t = Terms()
    x, y = t.app("x", 64), t.app("y", 64)
    product = t.eq(64, t.mul(64, x, y), t.const(64, 0x123456789ABCDEF1))
    both = [t.ult(64, t.const(64, 1), x), t.ult(64, x, y), t.ult(64, y, t.const(64, 1 << 40))]
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            satisfiable([product, *both], Limits(z3_rlimit=2_000_000_000, solver="z3"))
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
