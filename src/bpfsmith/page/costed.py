"""The page of what was predicted: `cost`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bpfsmith.cost.advice import Advice
from bpfsmith.cost.checking import Check
from bpfsmith.cost.predict import Prediction, by_line
from bpfsmith.page.listing import Keys, bytecode_pane, spanned_files
from bpfsmith.page.model import Bar, Chart, Items, Listings, Page, Section, Table
from bpfsmith.page.pages import page, sources
from bpfsmith.page.sections import number, urgent
from bpfsmith.report import Report
from bpfsmith.workflow.costing import Costed, bounds
from bpfsmith.workflow.costing_text import advice_lines, parting, source_line

MOST_PATHS = 25
"""Bars of one chart; JSON has the rest."""


def cost_page(report: Report, costed: Sequence[Costed], path: str) -> Page:
    """Paths and source lines by what they take, how far to trust that, and the advice where there is a workload."""
    sections: list[Section] = [*urgent(report)]
    for item in costed:
        sections += _advice(item)
        sections += _paths(item)
        sections += _lines(item.prediction)
        if item.check is not None:
            sections.append(_checked(item.prediction, item.check))
        if item.prediction.guesses:
            sections.append(Items(f"{item.prediction.program.name}: taken for granted", item.prediction.guesses))
    first = costed[0]
    where, fit = first.profile.provenance, first.profile.fit
    facts = {
        "profile": f"{where.cpu or where.machine}, kernel {where.kernel}, {where.measured_at[:10]} ({where.origin})",
        "off on programs that the fit had not seen": f"{fit.error:.0%}" if fit.error is not None else "not known",
    }
    for item in costed:
        likely = item.prediction.likely.cost.ns
        facts[item.prediction.program.name] = f"{number(likely)} ns, {len(item.prediction.paths)} paths"
    return page(report, Path(path).name, _headline(costed), facts, sections)


def _headline(costed: Sequence[Costed]) -> str:
    advice = next((item.advice for item in costed if item.advice is not None), None)
    if advice is not None:
        said = advice.headline
        return f"{said[0].upper()}{said[1:]}."
    return "Predicted from the bytecode and a cost profile; nothing was run."


def _advice(item: Costed) -> Iterator[Section]:
    if item.advice is None or item.workload is None:
        return
    yield _requests(item.advice)
    yield Items("What the advice rests on", tuple(line.strip() for line in list(advice_lines(item.advice, item.workload))[1:]))


def _requests(advice: Advice) -> Chart:
    costs = advice.costs
    passed = costs.baseline_ns + costs.slow_ns - costs.saved_ns
    rows = [("without offload", costs.baseline_ns), ("answered in the kernel", costs.fast_ns), ("passed on", passed)]
    bars = tuple(
        Bar(label, ns, f"{number(ns)} ns (x {ns / costs.baseline_ns:.2f})", reference=costs.baseline_ns)
        for label, ns in rows
        if ns is not None
    )
    return Chart("A request", "ns", bars, "The red mark is a request without offload.")


def _paths(item: Costed) -> Iterator[Section]:
    prediction = item.prediction
    name = prediction.program.name
    bars, rows = [], []
    for index, one in enumerate(prediction.paths[:MOST_PATHS]):
        low, high = bounds(one.cost.ns, item.profile) or (None, None)
        span = f", 8 of 10 times {number(low)} to {number(high)}" if low is not None else ""
        bars.append(Bar(f"{index + 1}: {one.outcome}", one.cost.ns, f"{number(one.cost.ns)} ns{span}", low=low, high=high))
        where = parting(prediction, one) if index else "the likely one"
        rows.append((str(index + 1), one.outcome, number(one.cost.ns), str(len(one.path.steps)), where))
    more = len(prediction.paths) - len(rows)
    note = "Nanoseconds above an empty program, with the core to itself; the line is where 8 of 10 runs lie."
    if more:
        note += f" {more} more paths are in the JSON."
    yield Chart(f"{name}: paths", "ns", tuple(bars), note)
    yield Table(f"{name}: where paths part", ("#path", "outcome", "#ns", "#insns", "leaves path 1"), tuple(rows))


def _lines(prediction: Prediction) -> Iterator[Section]:
    program = prediction.program
    dearest = sorted(by_line(program, prediction.likely.cost), key=lambda line: -line.ns)[:MOST_PATHS]
    likely = prediction.likely.cost.ns or 1.0
    bars = tuple(
        Bar(
            f"{Path(line.span.path).name}:{line.span.line}  {source_line(line.span).strip()}",
            line.ns,
            f"{number(line.ns)} ns ({line.ns / likely:.0%})",
        )
        for line in dearest
        if line.ns
    )
    if bars:
        yield Chart(f"{program.name}: source lines of the likely path", "ns", bars)
    keys = Keys()
    spanned = spanned_files(program.linked())[:2]
    panes = (*sources(spanned, keys), bytecode_pane(program.name, program.linked(), keys))
    yield Listings(f"{program.name}: source and bytecode", panes)


def _checked(prediction: Prediction, check: Check) -> Chart:
    measured = check.measured
    half = measured.spread / 2
    bars = (
        Bar("predicted", check.path.cost.ns, f"{number(check.path.cost.ns)} ns"),
        Bar(
            "measured", measured.value, f"{number(measured.value)} ns, spread {number(measured.spread)}",
            low=max(measured.value - half, 0.0), high=measured.value + half,
        ),
    )  # fmt: skip
    note = f"Median of {measured.samples} rounds in the kernel's test run; the prediction is {check.error:.0%} off."
    return Chart(f"{prediction.program.name}: {check.path.outcome}, predicted and run", "ns", bars, note)
