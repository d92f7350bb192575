"""Windows of arithmetic: what is found is right, and what is not there is not found."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from bpfsmith.optimize.cache import NOTHING, RuleCache, opened, save
from bpfsmith.optimize.search import run_steps, shorter
from bpfsmith.optimize.steps import Step, Window, value_of
from bpfsmith.semantics.domain import CONCRETE


def window(*steps: Step, zeros: tuple[int, ...] = (0,), output: int = 0, cpu: int = 3) -> Window:
    return Window(steps, zeros, output, cpu)


LSH32, RSH32 = Step("lsh", 64, 0, None, 32), Step("rsh", 64, 0, None, 32)
FOUND = {
    "an upper half that is cut off": (window(LSH32, RSH32), 1),
    "one that is zero already": (window(LSH32, RSH32, zeros=(32,)), 0),
    "two masks": (window(Step("and", 64, 0, None, 255), Step("and", 64, 0, None, 15)), 1),
    "a sign extension, v4": (window(LSH32, Step("arsh", 64, 0, None, 32), cpu=4), 1),
    "two additions": (window(Step("add", 64, 0, None, 5), Step("add", 64, 0, None, 7)), 1),
    "two negations": (window(Step("neg", 64, 0, None, 0), Step("neg", 64, 0, None, 0)), 0),
}
NOT_FOUND = {
    "a sign extension, v3": window(LSH32, Step("arsh", 64, 0, None, 32)),
    "two inputs": window(Step("mul", 64, 0, 1, 0), Step("add", 64, 0, None, 1), zeros=(0, 0)),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_shorter_form_is_found(name: str) -> None:
    given, length = FOUND[name]
    found = shorter(given)
    assert found is not None
    assert len(found) == length


@pytest.mark.parametrize("name", NOT_FOUND)
def test_where_there_is_none_nothing_is_found(name: str) -> None:
    assert shorter(NOT_FOUND[name]) is None


def test_a_cache_gives_back_what_was_searched_for(tmp_path: Path) -> None:
    first = opened(tmp_path / "rules.sqlite3")
    answers = {given.key: first.shorter(given) for given, _ in FOUND.values()}
    assert save(tmp_path / "rules.sqlite3", first.fresh.items()) == len(first.fresh)
    second = opened(tmp_path / "rules.sqlite3")
    assert {given.key: second.shorter(given) for given, _ in FOUND.values()} == answers
    assert not second.fresh


def test_a_damaged_cache_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "rules.sqlite3").write_bytes(b"no database")
    assert opened(tmp_path / "rules.sqlite3").known == {}


def test_a_window_without_a_shorter_form_is_remembered() -> None:
    cache = RuleCache({})
    given = NOT_FOUND["a sign extension, v3"]
    assert cache.shorter(given) is None
    assert cache.fresh == {given.key: NOTHING}


def test_the_sieve_computes_what_instructions_mean() -> None:
    random = Random(1)
    for what in ("add", "sub", "mul", "or", "and", "xor", "mov", "lsh", "rsh"):
        for width in (32, 64):
            for source in (None, 1):
                step = Step(what, width, 0, source, random.choice((-1, -5, 3, 40, 70, 255)))
                registers = [random.getrandbits(64), random.getrandbits(64)]
                assert run_steps((step,), registers)[0] == value_of(CONCRETE, step, registers)
