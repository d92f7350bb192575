"""The time limit of proofs."""

from __future__ import annotations

from contextlib import suppress
from time import process_time

import pytest

from bpfsmith.gate.budget import TimeUp, at_most


def work(seconds: float) -> None:
    end = process_time() + seconds
    while process_time() < end:
        pass


def test_a_limit_that_was_lost_in_a_callback_comes_again() -> None:
    with pytest.raises(TimeUp), at_most(1):
        with suppress(TimeUp):  # as a solver does that calls back into Python
            work(8)
        work(8)
