"""Predictions held against measurements: programs run in the kernel's test run, empty ones of their types beside them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bpfsmith.cost.bench import Bench
from bpfsmith.cost.experiment import Case, Experiment, Opened
from bpfsmith.cost.fitting import error
from bpfsmith.cost.measure import conclude, take
from bpfsmith.cost.model import Model
from bpfsmith.cost.predict import CostedPath, predict
from bpfsmith.cost.sampling import Estimate
from bpfsmith.cost.speed import slowdown
from bpfsmith.cost.timing import ROUNDS, floor_of, side_by_side
from bpfsmith.execution import MapContents
from bpfsmith.isa.program import Program
from bpfsmith.objfile.object import Object

SECONDS = 2.0
_SECONDS_EACH = 0.3


@dataclass(frozen=True, slots=True)
class Check:
    """A program, the path that it took as far as can be told, and what a run of it takes above an empty program: `measured` as
    it was, `put_right` to the speed that the profile is true for."""

    name: str
    path: CostedPath
    measured: Estimate
    put_right: Estimate

    @property
    def error(self) -> float:
        """By how much the prediction is off what was measured, as a share."""
        return error(self.path.cost.ns, self.measured.value)

    @property
    def error_put_right(self) -> float:
        """The same at the profile's speed: what the model is to blame for, and not the moment."""
        return error(self.path.cost.ns, self.put_right.value)


@dataclass(frozen=True, slots=True)
class Checks:
    """All that ran in the same rounds; the machine took `slowdown` times as long as when the profile was made."""

    checks: tuple[Check, ...]
    slowdown: float


def check(
    programs: Sequence[tuple[Program, Object | None]],
    model: Model,
    bench: Bench,
    packet: bytes,
    maps: Mapping[str, MapContents] | None = None,
) -> Checks:
    """Run the programs on `packet`, with what `maps` holds in their maps at first, and predict the paths that they take.

    KernelError `cannot-measure` for types that the test run does not time, and for programs that the kernel refuses.
    """
    named = {f"{number} {program.name}": (program, obj) for number, (program, obj) in enumerate(programs)}
    found: dict[str, dict[str, MapContents]] = {}

    def opened(bench: Bench, stack: ExitStack) -> Opened:
        actions, open_maps = side_by_side(bench, stack, named, packet)
        for name, held in open_maps.items():
            for map_name, contents in (maps or {}).items():
                held.write(map_name, contents)
            actions[name]()  # what a program leaves in its maps the first time is what it finds from then on
            found[name] = {
                spec.name: held.read(spec.name)
                for spec in named[name][0].maps
                if "HASH" in spec.type or (spec.type == "BPF_MAP_TYPE_ARRAY" and spec.initial is None)
            }
        return Opened(tuple(actions.values()))

    floors = sorted({floor_of(program) for program, _ in programs})
    cases = (
        *(Case(name, "an empty program", is_floor=True) for name in floors),
        *(Case(name, program.name, None, floor_of(program)) for name, (program, _) in named.items()),
    )
    seconds = max(SECONDS, _SECONDS_EACH * len(programs))
    experiment = Experiment("check", "", "", "programs as they are", "ns", cases, opened, rounds=ROUNDS, seconds=seconds)
    own = model.profile.speed.reading
    taken = take(experiment, bench, own)
    results = (conclude(taken), conclude(taken, own))
    as_it_was, put_right = ({item.case.name: item.estimate for item in result.measured} for result in results)
    checks = []
    for name, (program, _) in named.items():
        path = predict(program, model, packet=packet, maps={**(maps or {}), **found[name]}).likely
        checks.append(Check(program.name, path, as_it_was[name], put_right[name]))
    return Checks(tuple(checks), statistics.median(slowdown(moment, own) for moment in taken.moments))
