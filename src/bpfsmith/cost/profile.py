"""The cost profile: what `measure` found, as a versioned JSON file that decisions are made from.

    {"format": "bpfsmith-cost-profile", "version": 2, "provenance": {...}, "speed": {...}, "fit": {...}, "experiments":
    {"maps.kinds": {"unit": "ns", "cases": {"array": {"value": 2.0, "low": 1.9, "high": 2.1, "spread": 0.1, "samples": 61,
    "study": 3.9}, ..}, ..}, ..}}

`value` is the median with the floor taken off, `low` and `high` bound it with 99 % confidence, `spread` is the distance of the
quartiles. A case that could not be measured stands under `missing` with the reason.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bpfsmith import __version__
from bpfsmith.cost.measure import Measurement, Result
from bpfsmith.cost.speed import Speed
from bpfsmith.diagnostic import Diagnostic, InputError

FORMAT, VERSION = "bpfsmith-cost-profile", 2
DEFAULT_PATH = Path(__file__).parent / "default_profile.json"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the numbers come from. `origin` is "measured" for the user's own and "shipped" for the default profile."""

    origin: str
    measured_at: str
    kernel: str
    machine: str
    cpu: str
    cpus: int
    tool: str
    jit: bool
    load: float  # the machine's load average (1 minute) when the measurement began


@dataclass(frozen=True, slots=True)
class Quantity:
    """One measured case, in the unit of its experiment."""

    title: str
    value: float
    low: float
    high: float
    spread: float
    samples: int
    study: float | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What the machine says to one of the study's orderings: holds, does not, or (None) not resolved, with the reason."""

    text: str
    component: str
    holds: bool | None
    ratio: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Section:
    """One experiment of a profile."""

    table: str
    place: str
    title: str
    unit: str
    note: str
    noise: float | None
    rounds: int
    cases: Mapping[str, Quantity]
    findings: tuple[Said, ...]
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fit:
    """What no single measurement tells; found by `fitting` from small programs that were measured whole.

    `hidden` is the share of waiting that the code around a run hides, `call_latency` how much longer a call takes when
    something waits for it than when calls go on side by side, `call_ns` what a call of the kernel costs beyond its own work,
    `enter_ns` what entering and leaving a program costs. `uop_cycles` is how long the front end takes over one simple
    instruction, `taken_uops` how many of those a branch that is taken is worth, `div_share` the part of a division's latency
    in which no other one starts, `atomic_share` the part of an atomic instruction's time that holds up what comes after it.
    `unseen` are measured by predicted times, the least first, of the programs of the fit when each is predicted by a fit to
    others.
    """

    hidden: float = 1.0
    call_latency: float = 1.5
    call_ns: float = 0.0
    enter_ns: float = 0.5
    uop_cycles: float = 0.35
    taken_uops: float = 3.0
    div_share: float = 0.2
    atomic_share: float = 1.0
    unseen: tuple[float, ...] = ()

    @property
    def error(self) -> float | None:
        """The median error on programs that a fit had not seen, as a share; None without a fit."""
        return statistics.median(abs(1 - 1 / ratio) for ratio in self.unseen) if self.unseen else None


@dataclass(frozen=True)
class Profile:
    """Measured costs by experiment and case, the speed that they are true for, and the fit; `path` is the file it was read
    from, empty for one just made."""

    provenance: Provenance
    experiments: Mapping[str, Section]
    speed: Speed
    fit: Fit = field(default_factory=Fit)
    path: str = field(default="", compare=False)

    def find(self, experiment: str, case: str) -> Quantity | None:
        """A quantity, None where it was not measured."""
        section = self.experiments.get(experiment)
        return section.cases.get(case) if section else None

    def value(self, experiment: str, case: str, otherwise: float) -> float:
        """The median of a case, or `otherwise` where it was not measured; never less than nothing."""
        found = self.find(experiment, case)
        return otherwise if found is None else max(found.value, 0.0)

    @property
    def likely_factors(self) -> tuple[float, float] | None:
        """Between which multiples of its prediction 8 of 10 times lie that a program takes on that machine: what the fit is off
        on programs it had not seen, in all the moments of the measurement. None without a fit."""
        products = [ratio * slowdown for ratio in self.fit.unseen for slowdown in self.speed.slowdowns]
        if len(products) < 2:
            return None
        cuts = statistics.quantiles(products, n=10, method="inclusive")
        return cuts[0], cuts[-1]

    @property
    def elsewhere(self) -> bool:
        """Was it measured on another machine than this one, as far as can be told?"""
        here = self.provenance
        return here.origin == "shipped" or (here.kernel, here.cpu) != (platform.release(), cpu_model())


def from_measurement(measurement: Measurement, load: float) -> Profile:
    """The profile of a measurement that has just been made here."""
    sections = {result.experiment.id: _section(result) for result in measurement.results}
    return Profile(provenance(load), sections, _rounded_speed(measurement.speed))


def provenance(load: float) -> Provenance:
    """This machine, now."""
    jit = Path("/proc/sys/net/core/bpf_jit_enable")
    return Provenance(
        origin="measured",
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        kernel=platform.release(),
        machine=platform.machine(),
        cpu=cpu_model(),
        cpus=os.cpu_count() or 1,
        tool=f"bpfsmith {__version__}",
        jit=not jit.exists() or jit.read_text().strip() != "0",
        load=round(load, 2),
    )


@cache
def cpu_model() -> str:
    """The CPU as /proc/cpuinfo names it; empty where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _section(result: Result) -> Section:
    experiment = result.experiment
    return Section(
        table=experiment.table,
        place=experiment.place,
        title=experiment.title,
        unit=experiment.unit,
        note=experiment.note,
        noise=_finite(result.noise),
        rounds=result.rounds,
        cases={
            item.case.name: Quantity(
                item.case.title, _rounded(item.estimate.value), _rounded(item.estimate.low), _rounded(item.estimate.high),
                _rounded(item.estimate.spread), item.estimate.samples, item.case.study,
            )
            for item in result.measured
        },
        findings=tuple(
            Said(item.ordering.text, item.ordering.component, item.holds, _finite(item.ratio), item.reason)
            for item in result.findings
        ),
        missing={item.case: item.reason for item in result.missing},
    )  # fmt: skip


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _rounded_speed(speed: Speed) -> Speed:
    return Speed(_rounded(speed.clock_ghz), _rounded(speed.width), tuple(map(_rounded, speed.slowdowns)))


def _rounded(value: float) -> float:
    """Four digits are more than any of these numbers is worth."""
    if not math.isfinite(value):
        return math.copysign(1e18, value)
    return float(f"{value:.4g}")


def to_json(profile: Profile) -> bytes:
    """The profile as a file holds it."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "provenance": asdict(profile.provenance),
        "speed": asdict(profile.speed),
        "fit": asdict(profile.fit),
        "experiments": {name: asdict(section) for name, section in profile.experiments.items()},
    }
    return (json.dumps(body, indent=1) + "\n").encode()


def load_profile(path: str | Path | None = None) -> Profile:
    """The profile in a file, or the shipped one. InputError `bad-profile` or `unreadable-file`."""
    source = Path(path) if path is not None else DEFAULT_PATH
    try:
        text = source.read_bytes()
    except OSError as error:
        message = f"{source} cannot be read: {error.strerror}"
        raise InputError(Diagnostic("unreadable-file", message, help="check the path and its permissions")) from error
    try:
        return _parsed(json.loads(text), str(source))
    except (ValueError, RecursionError) as error:
        raise bad_profile(str(source), f"it is not JSON: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise bad_profile(str(source), f"a field is missing or of the wrong type: {error}") from None


def bad_profile(path: str, reason: str) -> InputError:
    return InputError(
        Diagnostic("bad-profile", f"{path} is no cost profile: {reason}", help="make one: `bpfsmith measure -o profile.json`")
    )


def _parsed(body: Any, path: str) -> Profile:
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise bad_profile(path, f'its "format" is not "{FORMAT}"')
    if body.get("version") != VERSION:
        raise bad_profile(path, f"its version is {body.get('version')}, and this bpfsmith reads version {VERSION}")
    sections = {}
    for name, raw in body["experiments"].items():
        cases = {case: Quantity(**quantity) for case, quantity in raw["cases"].items()}
        for case, quantity in cases.items():
            numbers = (quantity.value, quantity.low, quantity.high, quantity.spread)
            if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
                raise bad_profile(path, f"{name}, {case}: its values are not numbers")
        findings = tuple(Said(**said) for said in raw["findings"])
        sections[name] = Section(**{**raw, "cases": cases, "findings": findings, "missing": dict(raw["missing"])})
    speed = Speed(**{**body["speed"], "slowdowns": tuple(body["speed"]["slowdowns"])})
    return Profile(
        Provenance(**body["provenance"]), sections, speed, Fit(**{**body["fit"], "unseen": tuple(body["fit"]["unseen"])}), path
    )
