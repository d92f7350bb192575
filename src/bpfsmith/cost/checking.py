"""Predictions held against measurements: programs run in the kernel's test run, empty ones of their types beside them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bpfsmith.cost.bench import Bench
from bpfsmith.cost.experiment import Case, Experiment, Opened
from bpfsmith.cost.fitting import error
from bpfsmith.cost.followed import followed, run_input
from bpfsmith.cost.measure import conclude, take
from bpfsmith.cost.model import Model
from bpfsmith.cost.predict import CostedPath, costed, predict
from bpfsmith.cost.sampling import Estimate
from bpfsmith.cost.speed import slowdown
from bpfsmith.cost.timing import REPEAT, ROUNDS, floor_of, side_by_side
from bpfsmith.execution import MapContents, RunInput
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.kernel import testrun
from bpfsmith.kernel.load import Accepted
from bpfsmith.kernel.maps import MapSet
from bpfsmith.objfile.object import Object

SECONDS = 5.0
_SECONDS_EACH = 0.8
_READ = frozenset(
    f"BPF_MAP_TYPE_{name}" for name in ("HASH", "LRU_HASH", "PERCPU_ARRAY", "PERCPU_HASH", "LRU_PERCPU_HASH", "LPM_TRIE")
)
"""Maps whose contents decide paths; a plain array's do where it is no data section."""


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
    found: dict[str, RunInput] = {}

    def opened(bench: Bench, stack: ExitStack) -> Opened:
        actions, open_maps, loaded = side_by_side(bench, stack, named, packet)
        for name, held in open_maps.items():
            for map_name, contents in (maps or {}).items():
                held.write(map_name, contents)
            found[name] = _left(named[name][0], held, loaded[name], packet, bench.cpu)
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
        given = found[name]
        path = followed(program, given)
        likely = costed(program, model, path) if path else predict(program, model, packet=packet, maps=given.maps).likely
        checks.append(Check(program.name, likely, as_it_was[name], put_right[name]))
    return Checks(tuple(checks), statistics.median(slowdown(moment, own) for moment in taken.moments))


def _left(program: Program, maps: MapSet, loaded: Accepted, packet: bytes, cpu: int) -> RunInput:
    """What each run but the first ones finds in a test run of many: what those have left in the packet and in the maps."""
    left = testrun.run(loaded, packet, REPEAT).data
    contents: dict[str, MapContents] = {}
    for spec in program.maps:
        if spec.type in _READ or (spec.type == "BPF_MAP_TYPE_ARRAY" and spec.initial is None):
            contents[spec.name] = _of_cpu(spec, maps.read(spec.name), cpu)
    header = testrun.header_bytes(loaded.program_type)  # comes back as zeros
    return run_input(program, packet[:header] + (left or packet)[header:], contents)


def _of_cpu(spec: MapSpec, contents: MapContents, cpu: int) -> MapContents:
    """The values of one CPU; userspace reads those of all in a row."""
    if "PERCPU" not in spec.type:
        return contents
    stride = (spec.value_size + 7) // 8 * 8
    return {key: value[cpu * stride :][: spec.value_size] for key, value in contents.items()}
