"""What `cost` says: paths, source lines, how far to trust it, and advice."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from bpfsmith.cost.advice import Advice, Kind
from bpfsmith.cost.checking import Check
from bpfsmith.cost.predict import CostedPath, LineCost, Prediction, by_line, decisions
from bpfsmith.cost.profile import Profile
from bpfsmith.cost.workload import Workload
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.render import visible
from bpfsmith.repair.case import shown_path
from bpfsmith.source import Span
from bpfsmith.workflow.costing import HOOKS, Costed, bounds
from bpfsmith.workflow.measuring import bar, number

SHOWN_PATHS = 12
_UNEVEN = 1.15


def cost_lines(costed: Costed, concise: bool = False) -> Iterator[str]:
    """Paths, lines and advice, as they fit a screen."""
    prediction, profile = costed.prediction, costed.profile
    program = prediction.program
    if concise:
        low, high = prediction.cheapest.cost.ns, prediction.dearest.cost.ns
        yield f"{program.name} {number(prediction.likely.cost.ns)} ns, paths from {number(low)} to {number(high)}"
        if costed.check is not None:
            measured = f"{number(costed.check.measured.value)} ns measured"
            yield f"  {number(costed.check.path.cost.ns)} ns for the packet, {measured}: {costed.check.error:.0%} off"
        if costed.advice is not None:
            yield costed.advice.headline
        return
    yield f"{visible(program.name)} ({program.section}): ns above an empty program, predicted and not run"
    yield f"costs of {_origin(profile)}"
    yield ""
    yield from _path_lines(prediction, profile)
    yield from _hook_line(program, profile)
    yield ""
    yield from _source_lines(prediction)
    if prediction.guesses:
        yield ""
        yield from (f"note: {text}" for text in prediction.guesses)
    if costed.check is not None:
        yield ""
        yield from _check_lines(costed.check, costed.slowdown)
    if costed.advice is not None and costed.workload is not None:
        yield ""
        yield from advice_lines(costed.advice, costed.workload)


def _origin(profile: Profile) -> str:
    where = profile.provenance
    words = f"{where.cpu or where.machine}, kernel {where.kernel}, {where.measured_at[:10]}"
    if where.origin == "shipped":
        return f"{words}\n  the shipped profile, measured elsewhere: `bpfsmith measure -o profile.json` makes yours"
    return f"{words} ({profile.path})" + (": another machine than this one" if profile.elsewhere else "")


def _path_lines(prediction: Prediction, profile: Profile) -> Iterator[str]:
    """Paths with the same outcome that differ by little are one line."""
    count = len(prediction.paths)
    more = "" if prediction.complete else ", and there are more"
    yield f"{count} path{'s' if count != 1 else ''}{more}"
    yield f"  {'path':>4} {'ns':>8} {'8 of 10 times':>16} {'insns':>6}  {'outcome':24} where it leaves path 1"
    groups: dict[tuple[str, str], list[int]] = {}
    for index, item in enumerate(prediction.paths):
        groups.setdefault((item.outcome, f"{item.cost.ns:.1g}" if index else "likely"), []).append(index)
    for indices in list(groups.values())[:SHOWN_PATHS]:
        item = prediction.paths[indices[0]]
        where = "the likely one" if indices[0] == 0 else parting(prediction, item)
        alike = f"  (and {len(indices) - 1} much like it)" if len(indices) > 1 else ""
        between = " to ".join(number(bound) for bound in bounds(item.cost.ns, profile))
        ns, insns = number(item.cost.ns), len(item.path.steps)
        yield f"  {indices[0] + 1:4} {ns:>8} {between:>16} {insns:6}  {item.outcome:24} {where}{alike}"
    if len(groups) > SHOWN_PATHS:
        yield "       and more; --output-format json lists them"
    likely, cheapest, dearest = (item.cost.ns for item in (prediction.likely, prediction.cheapest, prediction.dearest))
    cycles = f" ({number(likely * profile.speed.clock_ghz)} cycles)"
    yield f"  likely {number(likely)} ns{cycles}, cheapest {number(cheapest)}, dearest {number(dearest)}"
    yield from _trust(profile)


def _trust(profile: Profile) -> Iterator[str]:
    if profile.fit.error is None:
        yield "  how far off that may be is not known: the profile lacks the table insns"
        return
    core = f"at {profile.speed.clock_ghz:.2f} GHz with the core to itself"
    yield f"  {core}; programs that the fit had not seen were {profile.fit.error:.0%} off"
    half, slowest = statistics.median(profile.speed.slowdowns), profile.speed.slowdowns[-1]
    if slowest > _UNEVEN:
        yield f"  neighbours on the core slowed that machine: {half:.2f} times in the median moment, {slowest:.2f} in 1 of 20"


def _check_lines(check: Check, slowdown: float) -> Iterator[str]:
    """What a run takes here and now, beside what was predicted for it."""
    path, measured = check.path, check.measured
    rounds = f"median of {measured.samples} rounds, quartiles {number(measured.spread)} apart"
    yield f"checked in the kernel's test run: {number(measured.value)} ns ({rounds})"
    yield f"  predicted for that packet {number(path.cost.ns)} ns ({path.outcome}): {check.error:.0%} off"
    there = f"put right to that {number(check.put_right.value)} ns: {check.error_put_right:.0%} off"
    yield f"  it ran {slowdown:.2f} times as slow as the core to itself that the profile is true for; {there}"


def _hook_line(program: Program, profile: Profile) -> Iterator[str]:
    """What being called at all costs, which is no part of the program's own time."""
    hook = HOOKS.get(for_section(program.section).name)
    found = profile.find("hooks.prepare", hook.echo) if hook is not None else None
    if found is not None:
        yield f"  the hook: an empty {program.section} program adds {number(found.value)} ns to a request ({found.title})"


def parting(prediction: Prediction, item: CostedPath) -> str:
    """The first branch at which the path goes another way than the likely one."""
    program = prediction.program
    likely = list(decisions(program, prediction.likely.path))
    for (place, taken), other in zip(
        decisions(program, item.path), [*likely, *[(None, None)] * len(item.path.decisions)], strict=False
    ):
        if (place, taken) != other:
            return _place(place)
    return ""


def _place(span: Span | None) -> str:
    if span is None:
        return "at an instruction without a source line"
    text = source_line(span).strip()
    return f"{shown_path(span.path)}:{span.line}  {text[:60]}"


def source_line(span: Span) -> str:
    try:
        lines = Path(span.path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return visible(lines[span.line - 1].expandtabs(4)) if 1 <= span.line <= len(lines) else ""


def _source_lines(prediction: Prediction) -> Iterator[str]:
    program = prediction.program
    likely = by_line(program, prediction.likely.cost)
    dearest = {(item.span.path, item.span.line): item.ns for item in by_line(program, prediction.dearest.cost)}
    if not likely:
        yield "no source lines: compile with -g to see the cost by line"
        return
    everything: dict[tuple[str, int], LineCost] = {(item.span.path, item.span.line): item for item in likely}
    for item in by_line(program, prediction.dearest.cost):
        everything.setdefault((item.span.path, item.span.line), LineCost(item.span, 0.0))
    largest = max([item.ns for item in everything.values()] + list(dearest.values()))
    file = ""
    for key in sorted(everything):
        item = everything[key]
        if key[0] != file:
            file = key[0]
            yield f"  {'likely':>8} {'dearest':>8}  {shown_path(file)}"
        text = source_line(item.span)
        yield (
            f"  {number(item.ns):>8} {number(dearest.get(key, 0.0)):>8}  {bar(item.ns, largest, 10):10} {key[1]:5}  {text[:76]}"
        ).rstrip()


def advice_lines(advice: Advice, workload: Workload) -> Iterator[str]:
    """The answer first, then what it rests on."""
    costs = advice.costs
    yield advice.headline
    yield f"  {advice.kind}, workload: {workload.source}"
    fast = f", answered in the kernel {number(costs.fast_ns)}" if costs.fast_ns is not None else ""
    passed = costs.baseline_ns + costs.slow_ns - costs.saved_ns
    yield f"  ns a request: without offload {number(costs.baseline_ns)}{fast}, passed on {number(passed)}"
    if advice.kind is not Kind.PREPROCESSING:
        yield (
            f"  omega {advice.hits:.0%}, rho_fast {advice.rho_fast:.2f}, rho_slow {advice.rho_slow:.2f}: "
            f"omega*rho_fast + (1-omega)*(1+rho_slow) = {advice.relative(advice.hits):.2f}"
        )
        if advice.break_even is not None:
            low, high = (f"{value:.0%}" if value is not None else "never" for value in (advice.low, advice.high))
            yield f"  break-even at {advice.break_even:.0%}; from {low} to {high} if the predicted costs are off by 20 %"
        if (most := advice.dearest_answer_ns) is not None:
            yield f"  at {advice.hits:.0%} of hits it pays while an answer in the kernel takes less than {number(most)} ns"
    yield f"  requests that pass take {advice.rho_slow:+.1%}"
    total = number(costs.program_ns + costs.hook_ns)
    parts = f"{number(costs.program_ns)} in the program, {number(costs.hook_ns)} for its hook"
    yield f"  neighbours: {total} ns of a CPU for each request, ahead of any process ({parts})"


def neighbour_line(advice: Advice, per_second: float) -> str:
    """What a rate of requests takes from everything else on the CPU."""
    share = advice.neighbours(per_second)
    slower = f"they take {1 / (1 - share):.2f} times as long" if share < 1 else "nothing is left for them"
    return f"  at {per_second:,.0f} requests a second that is {share:.1%} of a CPU: for processes there, {slower}"
