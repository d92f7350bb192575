"""Runs experiments: interleaved rounds, floors taken off, an A/A control beside them, orderings that resolve or do not."""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bpfsmith.cost.bench import Bench
from bpfsmith.cost.experiment import Action, Case, Experiment, Missing, Ordering
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
from bpfsmith.diagnostic import KernelError

LEAST_ROUNDS, MOST_ROUNDS = 15, 61
_CONTROL = "again: "
SIMILAR = 0.25
"""Two things are alike when they differ by no more than a quarter: where keys fall in a hash is luck."""

Progress = Callable[[str], None]


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
    seconds: float
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict, repr=False)

    def value(self, case: str) -> float | None:
        """The median of a case, None where it was not measured."""
        return next((item.estimate.value for item in self.measured if item.case.name == case), None)


def measure(
    experiments: Sequence[Experiment], bench: Bench, *, pace: float = 1.0, say: Progress = lambda text: None
) -> list[Result]:
    """Run experiments one after the other. `pace` stretches (or shortens) the time that each may take.

    An experiment that cannot be done here is a result without values and with the reason.
    """
    results = []
    for number, experiment in enumerate(experiments, 1):
        say(f"{number}/{len(experiments)} {experiment.title}")
        results.append(run_experiment(experiment, bench, pace))
    return results


def run_experiment(experiment: Experiment, bench: Bench, pace: float = 1.0) -> Result:
    """Set up, sample in rounds until the time is used up, tear down, conclude."""
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            opened = experiment.open(bench, stack)
            samples, missing = (
                _sample(opened.actions, experiment.seconds * pace, round(MOST_ROUNDS * pace)),
                list(opened.missing),
            )
    except KernelError as error:
        samples, missing = {}, _all_missing(experiment, _reason(error))
    except OSError as error:
        samples, missing = {}, _all_missing(experiment, _errno_words(error))
    return conclude(experiment, samples, missing, time.monotonic() - started)


def _sample(actions: Sequence[Action], seconds: float, most_rounds: int) -> dict[str, tuple[float, ...]]:
    """Rounds of all actions in turning order; the first action has a twin, the A/A control. The first round warms up."""
    if not actions:
        return {}
    first = actions[0]
    live: list[Action] = [*actions, lambda: {_CONTROL + name: value for name, value in first().items()}]
    taken: dict[str, list[float]] = {}
    end = time.monotonic() + seconds
    for round_ in range(max(most_rounds, LEAST_ROUNDS) + 1):
        if round_ > LEAST_ROUNDS and time.monotonic() > end:
            break
        turn = round_ % len(live)
        for action in live[turn:] + live[:turn]:
            for name, value in action().items():
                if round_:
                    taken.setdefault(name, [math.nan] * (round_ - 1)).append(value)
        for values in taken.values():
            values.extend([math.nan] * (round_ - len(values)))
    return {name: tuple(values) for name, values in taken.items()}


def conclude(
    experiment: Experiment, samples: Mapping[str, tuple[float, ...]], missing: Iterable[Missing], seconds: float
) -> Result:
    """What the samples of one experiment say."""
    twins = [name.removeprefix(_CONTROL) for name in samples if name.startswith(_CONTROL)]
    control = next((name for name in twins if min(samples[name]) > 0), None)
    noise = noise_of(samples[control], samples[_CONTROL + control]) if control is not None else 0.0
    net = {}
    for case in experiment.cases:
        if case.name in samples and (case.floor is None or case.floor in samples):
            net[case.name] = above(samples[case.name], samples[case.floor]) if case.floor else samples[case.name]
    gone = {item.case for item in missing}
    missing = [
        *missing,
        *(Missing(c.name, "no sample came back") for c in experiment.cases if c.name not in net and c.name not in gone),
    ]
    measured = tuple(
        Measured(case, estimate([value for value in net[case.name] if not math.isnan(value)]))
        for case in experiment.cases
        if case.name in net and not case.is_floor and any(not math.isnan(value) for value in net[case.name])
    )
    findings = tuple(_finding(ordering, net, noise, experiment) for ordering in experiment.orderings)
    rounds = max((len(values) for values in samples.values()), default=0)
    return Result(experiment, measured, findings, tuple(missing), noise, rounds, seconds, net)


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


def _all_missing(experiment: Experiment, reason: str) -> list[Missing]:
    return [Missing(case.name, reason) for case in experiment.cases if not case.is_floor]


def _reason(error: KernelError) -> str:
    diagnostic = error.diagnostics[0]
    return "; ".join((diagnostic.message, *diagnostic.notes))


def _errno_words(error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, "")
    return f"{error.strerror or error}{f' ({name})' if name else ''}"
