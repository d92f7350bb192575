"""Whether an offload pays: the break-even, and plain answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfsmith.cost.advice import Costs, Kind, Verdict, advise, break_even

share = st.floats(0, 1)
rho = st.floats(0, 3)


@given(share, rho, rho)
def test_it_pays_exactly_beyond_the_break_even(omega: float, fast: float, slow: float) -> None:
    """omega*rho_fast + (1-omega)*(1+rho_slow) < 1 if and only if omega is beyond the break-even."""
    relative = omega * fast + (1 - omega) * (1 + slow)
    least = break_even(fast, slow)
    if abs(relative - 1) < 1e-9 or (least is not None and abs(omega - least) < 1e-9):
        return
    assert (relative < 1) == (least is not None and omega > least)


def test_the_headline_says_what_is_needed_and_what_there_is() -> None:
    """A share that suffices, and the one the user has, stand in the answer."""
    advice = advise(Costs(10_000, 4_000, 3_000), 0.61)
    assert advice.headline == "offload: pays while at least 33% of requests hit; you have 61%"
    assert (advice.verdict, advice.kind) == (Verdict.PAYS, Kind.FAST_PATH)


def test_do_not_offload_is_said_plainly() -> None:
    """With too few hits, or where the kernel is slower than the process, the answer is no."""
    assert advise(Costs(10_000, 4_000, 3_000), 0.05).headline.startswith("do not offload")
    never = advise(Costs(10_000, 14_000, 500), 1.0)
    assert never.headline == "do not offload: it does not pay at any share of requests that hit"
    nearly = advise(Costs(10_000, 10_800, 500), 1.0)
    assert nearly.verdict is Verdict.TOO_CLOSE
    assert "pays at no share of requests that hit, or from" in nearly.headline
    assert advise(Costs(10_000, 4_000, 0), 0.5).headline == "offload: pays at any share of requests that hit; you have 50%"


def test_near_the_break_even_nothing_is_promised() -> None:
    """Where an error of 20 % in the costs would turn the answer, it is too close to call."""
    advice = advise(Costs(10_000, 4_000, 3_000), 0.33)
    assert advice.verdict is Verdict.TOO_CLOSE
    assert advice.low is not None
    assert advice.high is not None
    assert advice.low < 0.33 < advice.high


def test_full_offload_pays_when_the_kernel_is_faster() -> None:
    """With every request answered, only rho_fast counts."""
    advice = advise(Costs(10_000, 2_000, 90_000), 1.0)
    assert (advice.kind, advice.verdict) == (Kind.FULL, Verdict.PAYS)
    assert advice.relative(1.0) == pytest.approx(0.2)


def test_pre_processing_pays_by_what_it_saves() -> None:
    """A program that answers nothing pays only if it saves the process more than it takes."""
    assert advise(Costs(10_000, None, 300), 0.0).verdict is Verdict.DOES_NOT_PAY
    assert advise(Costs(10_000, None, 300, saved_ns=2_000), 0.0).verdict is Verdict.PAYS
    assert advise(Costs(10_000, None, 300, saved_ns=310), 0.0).verdict is Verdict.TOO_CLOSE


def test_neighbours_lose_what_program_and_hook_take() -> None:
    """100,000 requests a second of 2 us each are a fifth of a CPU."""
    assert advise(Costs(10_000, 4_000, 3_000, program_ns=1_500, hook_ns=500), 0.5).neighbours(100_000) == pytest.approx(0.2)


@given(st.floats(0.01, 1), st.floats(0, 1))
def test_an_answer_may_take_so_long_and_no_longer(omega: float, slow: float) -> None:
    """With the dearest answer that still pays nothing is won and nothing lost; where there is none, none would pay."""
    most = advise(Costs(10_000, 4_000, slow * 10_000), omega).dearest_answer_ns
    if most is None:
        assert (1 - omega) * (1 + slow) >= 1
    else:
        assert omega * most / 10_000 + (1 - omega) * (1 + slow) == pytest.approx(1)
