"""Fits what no single measurement tells (`profile.Fit`) to the programs of the experiment `train`."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
}
_LEAST_NS = 1.0
_LEAST_RUNS = 10


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
    """The fit with the least error, found by going through each number's grid in turn, three times over."""
    best: dict[str, float] = {name: values[0] for name, values in _GRID.items()}
    least = _off(profile, runs, best)
    for name in itertools.chain.from_iterable(itertools.repeat(tuple(_GRID), 3)):
        for value in _GRID[name]:
            tried = {**best, name: value}
            if (off := _off(profile, runs, tried)) < least:
                best, least = tried, off
    model = Model(replace(profile, fit=Fit(**best)))
    off = statistics.median(error(model.cost(run.program, run.steps).ns, run.measured_ns) for run in runs)
    return Fit(**best, error=round(off, 4))


def _off(profile: Profile, runs: Sequence[Run], values: Mapping[str, float]) -> float:
    model = Model(replace(profile, fit=Fit(**values)))
    errors = [min(error(model.cost(run.program, run.steps).ns, run.measured_ns), 1.0) for run in runs]
    return statistics.mean(errors) + statistics.median(errors)
