"""Law: interpreter, prover and kernel agree on the return value, the packet and every map, whatever the program does.

BPFSMITH_PROGRAMS says how many programs are tried (10000 takes some minutes); each is drawn afresh unless it is unset.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpfsmith.kernel.maps import MapSet, open_maps
from bpfsmith.semantics.concrete import run
from tests.kernel.conftest import require_bpf
from tests.support.oracles import by_kernel, by_prover_at_constants, by_prover_evaluated, without_calls
from tests.support.random_programs import MAPS, STEPS, program, run_input

_PROGRAMS = os.environ.get("BPFSMITH_PROGRAMS")
_MANY_STEPS, _FEW_STEPS = 14, 5

tried = settings(
    max_examples=int(_PROGRAMS or 200),
    derandomize=_PROGRAMS is None,
    database=None,
    deadline=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.function_scoped_fixture),
)
tried_less = settings(tried, max_examples=tried.max_examples // 4)
seeds = st.integers(0, (1 << 32) - 1)


def steps(most: int) -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(sorted(STEPS)), seeds), min_size=1, max_size=most)


@pytest.fixture
def maps() -> Iterator[MapSet]:
    require_bpf()
    with open_maps(MAPS) as opened:
        yield opened


@pytest.mark.kernel
@tried
@given(steps=steps(_MANY_STEPS), seed=seeds)
def test_interpreter_and_kernel_agree(maps: MapSet, steps: list[tuple[str, int]], seed: int) -> None:
    random, given = program(steps), run_input(Random(seed))
    assert without_calls(run(random, given)) == by_kernel(random, given, maps)


@tried
@given(steps=steps(_MANY_STEPS), seed=seeds)
def test_interpreter_and_prover_at_constants_agree(steps: list[tuple[str, int]], seed: int) -> None:
    random, given = program(steps), run_input(Random(seed))
    assert run(random, given) == by_prover_at_constants(random, given)


@tried_less
@given(steps=steps(_FEW_STEPS), seed=seeds)
def test_interpreter_and_what_the_prover_says_of_all_inputs_agree(steps: list[tuple[str, int]], seed: int) -> None:
    random, given = program(steps), run_input(Random(seed))
    assert run(random, given) == by_prover_evaluated(random, given)
