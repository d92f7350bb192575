"""Runs experiments: interleaved rounds, floors taken off, an A/A control beside them, orderings that resolve or do not."""

from __future__ import annotations

import errno
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from bpfsmith.cost.bench import Bench
from bpfsmith.cost.experiment import Action, Case, Experiment, Missing, Opened, Ordering
from bpfsmith.cost.sampling import (
    Comparison,
    Estimate,
    NotResolved,
    Resolved,
    above,
    compare,
    estimate,
    noise_of,
)
from bpfsmith.cost.speed import LEAST_CALM, Reading, Speed, between, is_calm, kept, power_of, put_right, speed_of
from bpfsmith.diagnostic import KernelError

LEAST_ROUNDS = 15
_CONTROL = "again: "
_FIRST_MOMENTS = 2_000
SIMILAR = 0.25
"""Two things are alike when they differ by no more than a quarter: where keys fall in a hash is luck."""

Progress = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Measured:
    """A case, its floor taken off."""

    case: Case
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Finding:
    """What this machine says to an ordering of the study: `holds` is None where it does not resolve, with the reason."""

    ordering: Ordering
    holds: bool | None
    ratio: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """An experiment after it ran. `noise` is what the A/A control differed by, as a share (0.02: 2 %); `rounds` were taken."""

    experiment: Experiment
    measured: tuple[Measured, ...]
    findings: tuple[Finding, ...]
    missing: tuple[Missing, ...]
    noise: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Experiments that ran one after the other, and the speed that their values were put right to."""

    results: tuple[Result, ...]
    speed: Speed


@dataclass(frozen=True, slots=True)
class Taken:
    """An experiment's samples as they came, NaN where a round has none, each with the speed of its moment; and `moments`, every
    reading once."""

    experiment: Experiment
    samples: Mapping[str, tuple[float, ...]]
    readings: Mapping[str, tuple[Reading, ...]]
    moments: tuple[Reading, ...]
    missing: tuple[Missing, ...]


def measure(
    experiments: Sequence[Experiment], bench: Bench, *, pace: float = 1.0, say: Progress = lambda text: None
) -> Measurement:
    """Run experiments one after the other, and put all of them right to the speed of a core to itself.

    `pace` stretches (or shortens) the time that each may take. An experiment that cannot be done here is a result without
    values and with the reason.
    """
    taken = []
    moments = [bench.reading() for _ in range(_FIRST_MOMENTS)]
    for number, experiment in enumerate(experiments, 1):
        say(f"{number}/{len(experiments)} {experiment.title}")
        taken.append(_taken_or_missing(experiment, bench, pace, speed_of(moments).reading))
        moments += taken[-1].moments
    speed = speed_of(moments)
    return Measurement(tuple(conclude(item, speed.reading) for item in taken), speed)


def run_experiment(experiment: Experiment, bench: Bench, pace: float = 1.0) -> Result:
    """One experiment, by itself."""
    return measure([experiment], bench, pace=pace).results[0]


def take(experiment: Experiment, bench: Bench, own: Reading, pace: float = 1.0) -> Taken:
    """Set up, sample in rounds, tear down. KernelError or OSError where something is refused."""
    with ExitStack() as stack:
        opened = experiment.open(bench, stack)
        return sample(experiment, opened, bench.reading, own, pace)


def _taken_or_missing(experiment: Experiment, bench: Bench, pace: float, own: Reading) -> Taken:
    try:
        return take(experiment, bench, own, pace)
    except KernelError as error:
        reason = _reason(error)
    except OSError as error:
        reason = _errno_words(error)
    missing = tuple(Missing(case.name, reason) for case in experiment.cases if not case.is_floor)
    return Taken(experiment, {}, {}, (), missing)


def sample(experiment: Experiment, opened: Opened, reading: Callable[[], Reading], own: Reading, pace: float) -> Taken:
    """Rounds of all actions in turning order, the speed read before and after each; the first action has a twin, the A/A
    control. The first round warms up. There are as many rounds as the experiment says, and more where a case has too few
    samples of moments in which the core was our own (at the speed `own`); but none after the experiment's seconds."""
    if not opened.actions:
        return Taken(experiment, {}, {}, (), opened.missing)
    first = opened.actions[0]
    live: list[Action] = [*opened.actions, lambda: {_CONTROL + name: value for name, value in first().items()}]
    samples: dict[str, list[float]] = {}
    readings: dict[str, list[Reading]] = {}
    moments = [reading()]
    calm = Counter[str]()
    enough = max(round(experiment.rounds * pace), LEAST_ROUNDS)
    end = time.monotonic() + experiment.seconds * pace
    for round_ in itertools.count():
        if round_ > LEAST_ROUNDS and time.monotonic() > end:
            break
        if round_ > enough and all(calm[name] >= min(LEAST_CALM, enough) for name in samples):
            break
        turn = round_ % len(live)
        for action in live[turn:] + live[:turn]:
            values = action()
            moments.append(reading())
            beside = between(*moments[-2:])
            for name, value in values.items() if round_ else ():
                _pad(samples, name, round_ - 1, math.nan).append(value)
                _pad(readings, name, round_ - 1, beside).append(beside)
                calm[name] += is_calm(beside, own)
        for name in samples:
            _pad(samples, name, round_, math.nan)
            _pad(readings, name, round_, moments[-1])
    return Taken(
        experiment,
        {name: tuple(values) for name, values in samples.items()},
        {name: tuple(values) for name, values in readings.items()},
        tuple(moments),
        opened.missing,
    )


def _pad(lists: dict[str, list[T]], name: str, length: int, filling: T) -> list[T]:
    """The list of that name, made so long."""
    found = lists.setdefault(name, [])
    found.extend([filling] * (length - len(found)))
    return found


def conclude(taken: Taken, own: Reading | None = None) -> Result:
    """What the samples of one experiment say, put right to the speed `own`, or as they came.

    An ordering holds or does not where samples put right and samples as they came agree on it: the same rounds have both of
    what is compared, so that speed hardly matters, and what putting right adds or takes must not decide.
    """
    experiment = taken.experiment
    net, noise = _net(taken, own)
    gone = {item.case for item in taken.missing}
    missing = (
        *taken.missing,
        *(Missing(c.name, "no sample came back") for c in experiment.cases if c.name not in net and c.name not in gone),
    )
    left = {name: _there(values) if own is None else kept(values, _beside(taken, name), own) for name, values in net.items()}
    measured = tuple(
        Measured(case, estimate(left[case.name])) for case in experiment.cases if not case.is_floor and left.get(case.name)
    )
    findings = tuple(_finding(ordering, net, noise, experiment) for ordering in experiment.orderings)
    if own is not None:
        raw, raw_noise = _net(taken, None)
        findings = tuple(_agreed(item, _finding(item.ordering, raw, raw_noise, experiment)) for item in findings)
    rounds = max((len(values) for values in taken.samples.values()), default=0)
    return Result(experiment, measured, findings, missing, noise, rounds)


def _beside(taken: Taken, name: str) -> list[tuple[Reading, ...]]:
    """The readings that belong to each sample of a case: its own, and its floor's."""
    floor = next(case.floor for case in taken.experiment.cases if case.name == name)
    return list(zip(*(taken.readings[item] for item in (name, floor) if item is not None), strict=True))


def _net(taken: Taken, own: Reading | None) -> tuple[dict[str, tuple[float, ...]], float]:
    """Every case with its floor taken off, and what the control differs by."""
    cases = {case.name: case for case in taken.experiment.cases}
    net: dict[str, tuple[float, ...]] = {}
    controls = []
    for name in taken.samples:
        case = cases[name.removeprefix(_CONTROL)]
        if case.floor is not None and case.floor not in taken.samples:
            continue
        power = _power(taken, name, case, own) if own is not None else 1.0
        values = _at_speed(taken, name, power, own)
        if name == case.name:  # its floor is put right as it is itself, or there would be something left of nothing
            net[name] = above(values, _at_speed(taken, case.floor, power, own)) if case.floor else values
        elif not any(value <= 0 for value in values):
            controls.append((_at_speed(taken, case.name, power, own), values))
    return net, noise_of(*controls[0]) if controls else 0.0


def _agreed(finding: Finding, raw: Finding) -> Finding:
    if finding.holds == raw.holds:
        return finding
    if finding.holds is None:
        return finding
    return Finding(finding.ordering, None, finding.ratio, raw.reason or "samples as they came and put right disagree")


def _there(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _power(taken: Taken, name: str, case: Case, own: Reading) -> float:
    times = taken.samples[name]
    if taken.experiment.higher_is_better:
        times = tuple(1 / value if value else math.nan for value in times)
    return power_of(times, taken.readings[name], own, 0.0 if case.waits else taken.experiment.width_power)


def _at_speed(taken: Taken, name: str, power: float, own: Reading | None) -> tuple[float, ...]:
    values, readings = taken.samples[name], taken.readings[name]
    if own is None:
        return values
    if taken.experiment.higher_is_better:
        rates = put_right([1 / value if value else math.nan for value in values], readings, own, power)
        return tuple(1 / rate for rate in rates)
    return put_right(values, readings, own, power)


def _finding(ordering: Ordering, net: Mapping[str, tuple[float, ...]], noise: float, experiment: Experiment) -> Finding:
    if ordering.less not in net or ordering.more not in net:
        lacking = ordering.less if ordering.less not in net else ordering.more
        return Finding(ordering, None, math.nan, f"{lacking} was not measured")
    pairs = [
        pair for pair in zip(net[ordering.less], net[ordering.more], strict=True) if not any(math.isnan(item) for item in pair)
    ]
    if not pairs:
        return Finding(ordering, None, math.nan, "no round has both")
    left, right = zip(*pairs, strict=True)
    found = compare(left, right, noise if math.isfinite(noise) else 1.0)
    if ordering.similar:
        return _similar(ordering, found)
    match found:
        case NotResolved(ratio=ratio, reason=reason):
            return Finding(ordering, None, ratio, reason)
        case Resolved(ratio=ratio):
            return Finding(ordering, found.left_is_less != experiment.higher_is_better, ratio)


def _similar(ordering: Ordering, found: Comparison) -> Finding:
    if found.low > 1 - SIMILAR and found.high < 1 + SIMILAR:
        return Finding(ordering, True, found.ratio)
    if found.high < 1 - SIMILAR or found.low > 1 + SIMILAR:
        return Finding(ordering, False, found.ratio)
    return Finding(ordering, None, found.ratio, f"the ratio lies between {found.low:.3g} and {found.high:.3g}")


def _reason(error: KernelError) -> str:
    diagnostic = error.diagnostics[0]
    return "; ".join((diagnostic.message, *diagnostic.notes))


def _errno_words(error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, "")
    return f"{error.strerror or error}{f' ({name})' if name else ''}"
