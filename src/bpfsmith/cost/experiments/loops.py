"""Experiments whose programs time a loop of their own: each sample is one run, divided by the turns of the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from bpfsmith.cost.bench import COPIES, FRAME, Bench, Loaded, run_ns
from bpfsmith.cost.experiment import Action, Missing, Opened
from bpfsmith.kernel.load import Accepted

STEPS = 512
"""Turns of a loop in programs/walk.h."""

Prepare = Callable[[Loaded], None]


def self_timed(
    file: str,
    programs: Mapping[str, str],
    *,
    per: Mapping[str, float] | float = STEPS,
    prepare: Prepare | None = None,
    flags: Sequence[str] = (),
    frame: bytes = FRAME,
) -> Callable[[Bench, ExitStack], Opened]:
    """How to open an experiment with one program of `file` for each case; `per` is how often it turns."""

    def open_(bench: Bench, stack: ExitStack) -> Opened:
        loaded = bench.load(stack, file, list(programs.values()), flags=flags, copies=COPIES)
        if prepare is not None:
            prepare(loaded)
        actions = []
        missing = []
        for case, program in programs.items():
            if program in loaded.programs:
                turns = per if isinstance(per, int | float) else per[case]
                actions.append(_sampler(case, loaded.copies[program], turns, frame))
            else:
                missing.append(Missing(case, loaded.refused[program]))
        return Opened(tuple(actions), tuple(missing))

    return open_


def _sampler(case: str, copies: Sequence[Accepted], turns: float, frame: bytes) -> Action:
    def sample() -> Mapping[str, float]:
        return {case: run_ns(copies, frame) / turns}

    return sample
