"""`measure`: runs experiments, makes the profile, and shows it with the study's values beside ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

from bpfsmith.cost.bench import Bench
from bpfsmith.cost.experiments import TABLES
from bpfsmith.cost.experiments import of_tables as experiments_of
from bpfsmith.cost.experiments.train import FILE as TRAIN_FILE
from bpfsmith.cost.fitting import with_fit
from bpfsmith.cost.measure import measure
from bpfsmith.cost.profile import Profile, Quantity, Section, from_measurement
from bpfsmith.cost.speed import Speed
from bpfsmith.cost.terminal import section_chart
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.report import Outcome, Report
from bpfsmith.workflow.verifying import must_load

_BAR = 24


def tables_of(text: str) -> tuple[str, ...]:
    """`maps,user` or `all`; InputError `unknown-table`."""
    names = tuple(word for word in text.split(",") if word)
    if names == ("all",):
        return TABLES
    for name in names:
        if name not in TABLES:
            raise InputError(
                Diagnostic(
                    "unknown-table",
                    f"there is no table {name}",
                    notes=(f"the tables are: {', '.join(TABLES)}",),
                    help="name some of them, separated by commas, or all",
                )
            )
    if not names:
        raise InputError(Diagnostic("unknown-table", "no table is named", help=f"name some of {', '.join(TABLES)}, or all"))
    return names


def pace_of(value: float) -> float:
    """InputError `bad-command` for a pace that is no sensible number."""
    if not 0.05 <= value <= 100:
        raise InputError(Diagnostic("bad-command", f"--pace {value:g} makes no sense", help="give a number from 0.05 to 100"))
    return value


def measured(tables: Sequence[str], *, cpu: int | None, pace: float, say: Callable[[str], None]) -> Profile:
    """Measure on this machine. KernelError `bpf-not-permitted` where programs cannot be loaded; InputError `bad-cpu`."""
    must_load("so there is nothing to measure")
    if cpu is not None and cpu not in os.sched_getaffinity(0):
        allowed = ", ".join(str(item) for item in sorted(os.sched_getaffinity(0)))
        raise InputError(
            Diagnostic(
                "bad-cpu",
                f"this process may not run on CPU {cpu}",
                notes=(f"it may run on: {allowed}",),
                help="name one of them",
            )
        )
    load = os.getloadavg()[0]
    with Bench(cpu, say) as bench:
        profile = from_measurement(measure(experiments_of(tuple(tables)), bench, pace=pace, say=say), load)
        if "insns" in tables:
            say("fitting the prediction")
            profile = with_fit(profile, bench.object(TRAIN_FILE))
    return profile


def of_tables(profile: Profile, tables: Sequence[str]) -> Profile:
    """What a profile has of these tables."""
    return replace(profile, experiments={n: item for n, item in profile.experiments.items() if item.table in tables})


def profile_report(profile: Profile) -> Report:
    """The envelope; `profile` holds what the file holds."""
    body = {
        "provenance": asdict(profile.provenance),
        "speed": asdict(profile.speed),
        "fit": asdict(profile.fit),
        "experiments": {name: asdict(section) for name, section in profile.experiments.items()},
    }
    return Report("measure", Outcome.DONE, details=body)


def profile_lines(profile: Profile, concise: bool = False, charts: bool = False) -> Iterator[str]:
    """Every experiment with bars, and curves with `charts`; then what the study's findings depend on, and if they hold here."""
    where = profile.provenance
    if where.origin == "shipped":
        yield "this profile is shipped with bpfsmith: it was measured on another machine"
    yield f"{where.cpu or where.machine}, {where.cpus} CPUs, kernel {where.kernel}, {where.measured_at}, load {where.load}"
    yield _speed_line(profile.speed)
    for section in profile.experiments.values():
        if not concise:
            yield ""
            yield from section_lines(section)
            yield from section_chart(section) if charts else ()
    yield ""
    yield from finding_lines(profile)
    yield from _missing_lines(profile)


def _speed_line(speed: Speed) -> str:
    fast, slow = speed.slowdowns[0], speed.slowdowns[-1]
    moved = f"9 of 10 moments took {fast:.2f} to {slow:.2f} times as long; values are put right to a core to itself"
    return f"{speed.clock_ghz:.2f} GHz, {speed.width:.1f} simple instructions a cycle; {moved}"


def section_lines(section: Section) -> Iterator[str]:
    """One experiment as a table: value, spread, the study's value, and a bar."""
    place = f"{section.place}: " if section.place else ""
    yield f"{place}{section.title} [{section.unit}]"
    if section.cases:
        noise = "no control" if section.noise is None else f"A/A control differs by {section.noise:.1%}"
        yield f"  {section.rounds} rounds, {noise}"
        yield f"  {'':44} {'here':>10} {'spread':>8} {'study':>8}"
        largest = max(item.value for item in section.cases.values())
        for item in section.cases.values():
            study = number(item.study) if item.study is not None else "-"
            numbers = f"{number(item.value):>10} {number(item.spread):>8} {study:>8}"
            noisy = " noisy" if is_noisy(item, section.unit) else ""
            yield f"  {item.title:44} {numbers}  {bar(item.value, largest)}{noisy}".rstrip()
    if section.note:
        yield f"  note: {section.note}"


def is_noisy(item: Quantity, unit: str) -> bool:
    """Are the quartiles further apart than a tenth of the median, and than the one ns that a clock can tell?"""
    return item.spread > max(0.1 * abs(item.value), 1 if unit == "ns" else 0)


def number(value: float) -> str:
    """Three digits that count, without an exponent."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def bar(value: float, largest: float, width: int = _BAR) -> str:
    """A bar of eighths of blocks."""
    eighths = 0 if largest <= 0 else round(max(value, 0) / largest * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def finding_lines(profile: Profile) -> Iterator[str]:
    """The summary (the study's Table 7): each finding, what it depends on, and what this machine says to it."""
    found = [(section, said) for section in profile.experiments.values() for said in section.findings]
    if not found:
        return
    yield f"{'findings':72} {'depends on':20} here"
    for section, said in found:
        word = {True: "holds", False: "does not hold", None: "not resolved"}[said.holds]
        ratio = f", x {said.ratio:.2f}" if said.ratio is not None and said.holds is not None else ""
        because = f": {said.reason}" if said.reason else ""
        text = f"{said.text}{f' ({section.place})' if section.place else ''}"
        yield f"{text:72} {said.component:20} {word}{ratio}{because}"
    counts = [sum(said.holds is state for _, said in found) for state in (True, False, None)]
    yield f"{counts[0]} hold, {counts[1]} do not, {counts[2]} are not resolved"
    cases = [(item, section.unit) for section in profile.experiments.values() for item in section.cases.values()]
    noisy = sum(is_noisy(item, unit) for item, unit in cases)
    if noisy:
        yield f"{noisy} of {len(cases)} cases are noisy: on a quieter machine, or with --pace 3, more would resolve"


def _missing_lines(profile: Profile) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for name, section in profile.experiments.items():
        for case, reason in section.missing.items():
            reasons.setdefault(reason, []).append(f"{name}/{case}")
    if reasons:
        yield ""
        yield "not measured here"
    for reason, cases in reasons.items():
        shown = ", ".join(cases[:4]) + (f" and {len(cases) - 4} more" if len(cases) > 4 else "")
        yield f"  {shown}: {reason}"
