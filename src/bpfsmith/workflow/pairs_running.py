"""`pairs-run`: a command with probes on it; what they counted, and what they cost beside another object's and beside none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bpfsmith.diagnostic import Diagnostic, InputError, KernelError
from bpfsmith.kernel.maps import MapSet
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.report import Outcome, Report
from bpfsmith.trace.running import Places, Usage, Waiting, attached
from bpfsmith.workflow.describe import FLAT_KEY
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.optimizing import object_bytes
from bpfsmith.workflow.values import typed_text

NOTHING = "no probes"


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of the command: what it used, and what the object's variables and maps held at its end."""

    usage: Usage
    variables: Mapping[str, str]
    maps: Mapping[str, Mapping[str, str]]


def places_of(function: str | None, attach: Sequence[str], path: str | None, constants: Sequence[str]) -> Places:
    """The options as a value. InputError `bad-command` for what is no NAME=VALUE."""
    return Places(function, dict(map(_assignment, attach)), path, dict(map(_assignment, constants)))


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(Diagnostic("bad-command", f"`{text}` is not NAME=VALUE", help="see `bpfsmith pairs-run --help`"))
    return name, value


def pairs_run_report(
    path: str, other: str | None, command: Sequence[str], places: Places, rounds: int, say: Callable[[str], None]
) -> Report:
    """Runs the command `rounds` times each way, in turns: without probes (where times are asked for), with the object's, and
    with the other's."""
    if rounds < 1:
        raise InputError(Diagnostic("bad-command", "--rounds is at least 1", help="see `bpfsmith pairs-run --help`"))
    objects: dict[str, Object | None] = {path: _opened(path)}
    if other is not None:
        objects[other] = _opened(other)
    ways: dict[str, Object | None] = {NOTHING: None, **objects} if rounds > 1 else objects
    runs: dict[str, list[Ran]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, obj in ways.items():
            say(f"round {number + 1} of {rounds}: {name}")
            runs[name].append(_run(obj, command, places, quiet=number > 0 or len(ways) > 1))
    differ = _differences(runs[path][0], runs[other][0]) if other is not None else []
    details = {
        "command_line": list(command),
        "rounds": rounds,
        "runs": [_ways_json(name, found, runs.get(NOTHING)) for name, found in runs.items()],
        "differences": differ,
    }
    return Report("pairs-run", Outcome.DONE, details=details)


def _opened(path: str) -> Object:
    return replace(read_object(object_bytes(path, Toolchain())), path=path)


def _run(obj: Object | None, command: Sequence[str], places: Places, *, quiet: bool) -> Ran:
    with Waiting(command, quiet=quiet) as process:
        if obj is None:
            return Ran(process.run(), {}, {})
        with attached(obj, process, places) as maps:
            usage = process.run()
            return Ran(usage, dict(_variables(obj, maps)), dict(_maps(obj, maps)))


def _variables(obj: Object, maps: MapSet) -> Iterator[tuple[str, str]]:
    sections = {}
    for variable in obj.variables:
        spec = obj.map(variable.section)
        if spec.frozen:
            continue
        if variable.section not in sections:
            sections[variable.section] = maps.read(variable.section)[FLAT_KEY]
        raw = sections[variable.section][variable.offset : variable.offset + variable.size]
        yield variable.name, _text(obj, variable.btf_type, raw)


def _maps(obj: Object, maps: MapSet) -> Iterator[tuple[str, dict[str, str]]]:
    for spec in obj.maps:
        if spec.initial is not None:
            continue
        try:
            contents = maps.read(spec.name)
        except KernelError:
            continue  # a ring buffer, storage of tasks: nothing to be read by key
        shown = {
            _text(obj, spec.key_btf_id, key): _text(obj, spec.value_btf_id, value)
            for key, value in contents.items()
            if any(value)
        }
        yield spec.name, shown


def _text(obj: Object, type_id: int, raw: bytes) -> str:
    return typed_text(obj.btf, type_id, raw) if obj.btf is not None and type_id else raw.hex()


def _differences(first: Ran, second: Ran) -> list[dict[str, str]]:
    """The variables that do not hold the same after a run of each: times differ by nature, counts must not."""
    return [
        {"variable": name, "first": value, "second": second.variables[name]}
        for name, value in first.variables.items()
        if name in second.variables and second.variables[name] != value
    ]


def _ways_json(name: str, runs: Sequence[Ran], floor: Sequence[Ran] | None) -> dict[str, object]:
    cpu = [run.usage.user + run.usage.system for run in runs]
    wall = [run.usage.wall for run in runs]
    out: dict[str, object] = {
        "object": name,
        "status": runs[0].usage.status,
        "wall_s": round(median(wall), 6),
        "wall_spread_s": round(max(wall) - min(wall), 6),
        "cpu_s": round(median(cpu), 6),
        "variables": dict(runs[0].variables),
        "maps": {key: dict(value) for key, value in runs[0].maps.items()},
    }
    if floor is not None and len(floor) == len(runs):
        extra = [run.usage.wall - bare.usage.wall for run, bare in zip(runs, floor, strict=True)]
        out["overhead_s"] = round(median(extra), 6)
        out["overhead_spread_s"] = round(max(extra) - min(extra), 6)
    return out


# --- for a terminal ---------------------------------------------------------------------------------------------------
def pairs_run_lines(report: Report) -> Iterator[str]:
    """What was counted, then what it cost."""
    runs, rounds = report.details["runs"], report.details["rounds"]
    assert isinstance(runs, list)
    shown = [run for run in runs if run["object"] != NOTHING]
    for run in shown:
        yield f"{Path(run['object']).name}"
        for name, value in run["variables"].items():
            yield f"  {name} = {value}"
        for name, entries in run["maps"].items():
            yield f"  map {name}: {len(entries)} entr{'y' if len(entries) == 1 else 'ies'}"
    differ = report.details["differences"]
    assert isinstance(differ, list)
    if len(shown) > 1:
        names = ", ".join(item["variable"] for item in differ)
        yield f"the same but for {names}" if differ else "the same in every variable"
    if rounds == 1:
        return
    yield f"{rounds} rounds of each in turns, medians (spread)"
    for run in runs:
        extra = (
            f", {1e3 * run['overhead_s']:+.1f} ms ({1e3 * run['overhead_spread_s']:.1f})" if run["object"] != NOTHING else ""
        )
        yield f"  {Path(run['object']).name}: {1e3 * run['wall_s']:.1f} ms ({1e3 * run['wall_spread_s']:.1f}){extra}"
    if len(shown) > 1 and shown[0]["overhead_s"] > 0:
        saved = 1 - shown[1]["overhead_s"] / shown[0]["overhead_s"]
        yield (
            f"the second costs {100 * saved:.0f} % less than the first"
            if saved > 0
            else f"the second costs {-100 * saved:.0f} % more"
        )
