"""Fits what no single measurement tells (`profile.Fit`) to the programs of the experiment `train`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from bpfsmith.cost.experiments.train import PACKET, PROGRAMS
from bpfsmith.cost.model import Model
from bpfsmith.cost.paths import paths
from bpfsmith.cost.profile import Fit, Profile
from bpfsmith.cost.steps import Step
from bpfsmith.execution import MapContents
from bpfsmith.isa.program import Program
from bpfsmith.objfile.object import Object

_GRID: Mapping[str, tuple[float, ...]] = {
    "hidden": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    "call_latency": (1.0, 1.1, 1.25, 1.5, 1.75, 2.0),
    "call_ns": (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
    "enter_ns": (0.0, 0.5, 1.0, 1.5, 2.0, 3.0),
    "uop_cycles": (0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
    "taken_uops": (2.0, 3.0, 4.0),  # a core fetches past one taken branch a cycle at most
    "div_share": (0.1, 0.2, 0.33, 0.5),
    "atomic_share": (1.0, 0.85, 0.7, 0.55, 0.4, 0.25),
}
_LEAST_NS = 1.0
_LEAST_RUNS = 10
_FOLDS = 6
_MOST_TURNS = 3


@dataclass(frozen=True, slots=True)
class Run:
    """A program, the steps of one run of it, and what that run was measured to take above an empty program."""

    program: Program
    steps: tuple[Step, ...]
    measured_ns: float


def error(predicted_ns: float, measured_ns: float) -> float:
    """By how much a prediction is off, as a share of what was measured; a clock that ticks in ns cannot tell less than one."""
    return abs(predicted_ns - measured_ns) / max(abs(measured_ns), _LEAST_NS)


def with_fit(profile: Profile, obj: Object) -> Profile:
    """The profile with a fit to the programs of `train` (compiled: `obj`) that it holds; as it is where it holds too few."""
    runs = []
    for name in PROGRAMS:
        measured = profile.find("train", name)
        if measured is not None:
            program = obj.program(name)
            empty: dict[str, MapContents] = {spec.name: {} for spec in program.maps if "HASH" in spec.type}
            runs.append(Run(program, paths(program, packet=PACKET, maps=empty).paths[0].steps, measured.value))
    return replace(profile, fit=fitted(profile, runs)) if len(runs) >= _LEAST_RUNS else profile


def fitted(profile: Profile, runs: Sequence[Run]) -> Fit:
    """The fit with the least error; and how far off such fits are on programs that they have not seen: each is predicted by a
    fit to the others, a few of them left out at a time."""

    @cache  # searches that leave out others pass the same places
    def predicted(values: tuple[float, ...]) -> tuple[float, ...]:
        model = Model(replace(profile, fit=_fit(values)))
        return tuple(model.cost(run.program, run.steps).ns for run in runs)

    def off(values: tuple[float, ...], kept: Collection[int]) -> float:
        errors = [
            min(error(ns, run.measured_ns), 1.0)
            for n, (ns, run) in enumerate(zip(predicted(values), runs, strict=True))
            if n in kept
        ]
        return statistics.mean(errors) + statistics.median(errors)

    everything = range(len(runs))
    unseen = []
    for fold in range(_FOLDS):
        left_out = everything[fold::_FOLDS]
        kept = set(everything) - set(left_out)
        found = predicted(_search(partial(off, kept=kept)))
        unseen += [max(runs[n].measured_ns, _LEAST_NS) / max(found[n], _LEAST_NS) for n in left_out]
    best = _fit(_search(partial(off, kept=everything)))
    return replace(best, unseen=tuple(round(ratio, 3) for ratio in sorted(unseen)))


def _fit(values: Sequence[float]) -> Fit:
    named: dict[str, Any] = dict(zip(_GRID, values, strict=True))
    return Fit(**named)


def _search(off: Callable[[tuple[float, ...]], float]) -> tuple[float, ...]:
    """Goes through each number's grid in turn, until a whole turn brings nothing."""
    best = tuple(values[0] for values in _GRID.values())
    least = off(best)
    for _ in range(_MOST_TURNS):
        before = least
        for index, values in enumerate(_GRID.values()):
            for tried in [(*best[:index], value, *best[index + 1 :]) for value in values]:
                if (found := off(tried)) < least:
                    best, least = tried, found
        if least == before:
            break
    return best
