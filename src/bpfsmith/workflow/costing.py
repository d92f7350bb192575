"""`cost`: what a program will cost by path and by source line, and whether offloading to it pays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bpfsmith.cost.advice import Advice, Costs, Kind, Verdict, advise
from bpfsmith.cost.model import Model, Usage
from bpfsmith.cost.predict import CostedPath, LineCost, Prediction, by_line, decisions, predict
from bpfsmith.cost.profile import Profile, load_profile
from bpfsmith.cost.workload import Workload, of_share, read_workload
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.execution import MapContents
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.render import visible
from bpfsmith.repair.case import shown_path
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.source import Span
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input, split_program
from bpfsmith.workflow.measuring import bar, number
from bpfsmith.workflow.trying import maps_of, packet_of

SHOWN_PATHS = 12
_TRIVIAL = ("train", "turn")
"""What the programs of hooks.echo do to a packet: it is part of what those round trips take."""


@dataclass(frozen=True, slots=True)
class Hook:
    """The cases of a profile that say what answering and passing at a program type's hook take."""

    echo: str
    passing: str | None
    baseline: str


_HOOKS = {
    "BPF_PROG_TYPE_XDP": Hook("xdp", "past_xdp", "socket"),
    "BPF_PROG_TYPE_SCHED_CLS": Hook("tcx", "past_tcx", "socket"),
    "BPF_PROG_TYPE_SK_SKB": Hook("sk_skb", None, "socket_tcp"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks: how maps are used, which packet, which workload. Shares from 0 to 1, times in ns."""

    profile: str | None = None
    keys: int = 1
    skew: float = 0.0
    packet: str | None = None
    maps: str | None = None
    workload: str | None = None
    hits: float | None = None
    baseline_ns: float | None = None
    service_ns: float = 0.0
    saved_ns: float = 0.0
    per_second: float | None = None

    def check(self) -> None:
        """InputError `bad-command` for numbers that make no sense."""
        for name, value, least, most in (
            ("--keys", self.keys, 1, 1e9),
            ("--skew", self.skew, 0, 5),
            ("--hits", self.hits, 0, 1),
            ("--baseline-ns", self.baseline_ns, 1, 1e12),
            ("--service-ns", self.service_ns, 0, 1e12),
            ("--saves-ns", self.saved_ns, 0, 1e12),
            ("--rate", self.per_second, 0, 1e12),
        ):
            if value is not None and not least <= value <= most:
                help_text = f"give a number from {least:g} to {most:g}"
                raise InputError(Diagnostic("bad-command", f"{name} {value:g} makes no sense", help=help_text))
        if self.workload is not None and self.hits is not None:
            raise InputError(
                Diagnostic("bad-command", "--workload and --hits say the same thing twice", help="give one of them")
            )


@dataclass(frozen=True, slots=True)
class Costed:
    """A program's prediction, and the advice where there was a workload."""

    profile: Profile
    prediction: Prediction
    workload: Workload | None = None
    advice: Advice | None = None


def cost(path: str, question: Question, toolchain: Toolchain) -> list[Costed]:
    """The cost of every program of FILE, or of FILE:PROGRAM. Advice needs one program: InputError `ambiguous-program`."""
    question.check()
    profile = load_profile(question.profile)
    model = Model(profile, Usage(question.keys, question.skew))
    file, wanted = split_program(path)
    opened = open_input(file, toolchain)
    if isinstance(opened, AppnetInput):
        from bpfsmith.workflow.compiling import lowered

        opened = lowered(opened, toolchain)
    asks = question.workload is not None or question.hits is not None
    one = wanted is not None or asks or question.packet is not None or question.maps is not None
    programs = (opened.only(wanted),) if one else opened.programs
    out = []
    for program in programs:
        maps: Mapping[str, MapContents] = maps_of(question.maps, program)
        packet = packet_of(question.packet) if question.packet is not None else None
        prediction = predict(program, model, packet=packet, maps=maps)
        workload = advice = None
        if asks:
            workload = _workload(question, program, prediction, model, maps)
            advice = advise(costs_of(question, profile, program, workload), workload.hits)
        out.append(Costed(profile, prediction, workload, advice))
    return out


def _workload(
    question: Question, program: Program, prediction: Prediction, model: Model, maps: Mapping[str, MapContents]
) -> Workload:
    if question.workload is not None:
        return read_workload(question.workload, program, prediction, model, maps)
    assert question.hits is not None
    return of_share(prediction, question.hits, "--hits")


def costs_of(question: Question, profile: Profile, program: Program, workload: Workload) -> Costs:
    """ns a request, put together from the profile's round trips and the program's own time."""
    hook = _HOOKS.get(for_section(program.section).name)
    if hook is None:
        known = "xdp, tc, tcx and sk_skb"
        raise InputError(
            Diagnostic(
                "no-hook-costs",
                f"what answering at {program.section} saves is not in the profile",
                notes=(f"round trips are measured for {known}",),
                help=f"give a program for {known}; without --workload the cost of its paths is shown",
            )
        )
    baseline = question.baseline_ns
    if baseline is None:
        baseline = _needed(profile, "hooks.echo", hook.baseline) + question.service_ns
    fast = None
    if workload.fast_ns is not None:
        trivial = profile.value(*_TRIVIAL, 9.0)
        fast = _needed(profile, "hooks.echo", hook.echo) + max(workload.fast_ns - trivial, 0.0)
    slow = workload.slow_ns or 0.0
    if hook.passing is not None:
        slow += max(_needed(profile, "hooks.echo", hook.passing) - _needed(profile, "hooks.echo", hook.baseline), 0.0)
    return Costs(baseline, fast, slow, question.saved_ns, workload.program_ns)


def _needed(profile: Profile, experiment: str, case: str) -> float:
    found = profile.find(experiment, case)
    if found is None:
        raise InputError(
            Diagnostic(
                "no-hook-costs",
                f"the profile {profile.path} has no value for {case} of {experiment}",
                help="measure it: `bpfsmith measure --table hooks`, or leave --profile away for the shipped one",
            )
        )
    return found.value


# --- text -------------------------------------------------------------------------------------------------------------
def cost_lines(costed: Costed, concise: bool = False) -> Iterator[str]:
    """Paths, lines and advice, as they fit a screen."""
    prediction, profile = costed.prediction, costed.profile
    program = prediction.program
    if concise:
        low, high = prediction.cheapest.cost.ns, prediction.dearest.cost.ns
        yield f"{program.name} {number(prediction.likely.cost.ns)} ns ({number(low)} to {number(high)})"
        if costed.advice is not None:
            yield costed.advice.headline
        return
    yield f"{visible(program.name)} ({program.section}): ns above an empty program, predicted and not run"
    yield f"costs of {_origin(profile)}"
    yield ""
    yield from _path_lines(prediction)
    yield ""
    yield from _source_lines(prediction)
    if prediction.guesses:
        yield ""
        yield from (f"note: {text}" for text in prediction.guesses)
    if costed.advice is not None and costed.workload is not None:
        yield ""
        yield from advice_lines(costed.advice, costed.workload)


def _origin(profile: Profile) -> str:
    where = profile.provenance
    words = f"{where.cpu or where.machine}, kernel {where.kernel}, {where.measured_at[:10]}"
    if where.origin == "shipped":
        return f"{words}\n  the shipped profile, measured elsewhere: `bpfsmith measure -o profile.json` makes yours"
    return f"{words} ({profile.path})" + (": another machine than this one" if profile.elsewhere else "")


def _path_lines(prediction: Prediction) -> Iterator[str]:
    """Paths with the same outcome that differ by little are one line."""
    count = len(prediction.paths)
    more = "" if prediction.complete else ", and there are more"
    yield f"{count} path{'s' if count != 1 else ''}{more}"
    yield f"  {'path':>4} {'ns':>8} {'insns':>6}  {'outcome':24} where it leaves path 1"
    groups: dict[tuple[str, str], list[int]] = {}
    for index, item in enumerate(prediction.paths):
        groups.setdefault((item.outcome, f"{item.cost.ns:.1g}" if index else "likely"), []).append(index)
    for indices in list(groups.values())[:SHOWN_PATHS]:
        item = prediction.paths[indices[0]]
        where = "the likely one" if indices[0] == 0 else _parting(prediction, item)
        alike = f"  (and {len(indices) - 1} much like it)" if len(indices) > 1 else ""
        yield f"  {indices[0] + 1:4} {number(item.cost.ns):>8} {len(item.path.steps):6}  {item.outcome:24} {where}{alike}"
    if len(groups) > SHOWN_PATHS:
        yield "       and more; --output-format json lists them"
    cheapest, dearest = prediction.cheapest.cost.ns, prediction.dearest.cost.ns
    yield f"  likely {number(prediction.likely.cost.ns)} ns, cheapest {number(cheapest)}, dearest {number(dearest)}"


def _parting(prediction: Prediction, item: CostedPath) -> str:
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
    text = _source_line(span).strip()
    return f"{shown_path(span.path)}:{span.line}  {text[:60]}"


def _source_line(span: Span) -> str:
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
        text = _source_line(item.span)
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
    yield f"  requests that pass take {advice.rho_slow:+.1%}"
    yield f"  neighbours: {number(costs.program_ns)} ns of a CPU for each request, ahead of any process"


def neighbour_line(advice: Advice, per_second: float) -> str:
    """What a rate of requests takes from everything else on the CPU."""
    share = advice.neighbours(per_second)
    slower = f"they take {1 / (1 - share):.2f} times as long" if share < 1 else "nothing is left for them"
    return f"  at {per_second:,.0f} requests a second that is {share:.1%} of a CPU: for processes there, {slower}"


# --- the envelope -----------------------------------------------------------------------------------------------------
def cost_report(costed: list[Costed]) -> Report:
    """`predictions` lists paths and lines by program; `advice` is there where there was a workload."""
    programs = tuple(
        ProgramReport(item.prediction.program.name, item.prediction.program.section, len(item.prediction.program.linked()))
        for item in costed
    )
    details: dict[str, object] = {
        "profile": {"path": costed[0].profile.path, **asdict(costed[0].profile.provenance)} if costed else None,
        "predictions": {item.prediction.program.name: _prediction_json(item.prediction) for item in costed},
    }
    outcome = Outcome.DONE
    advised = next((item for item in costed if item.advice is not None), None)
    if advised is not None and advised.advice is not None and advised.workload is not None:
        advice = advised.advice
        outcome = {
            Verdict.PAYS: Outcome.PAYS, Verdict.DOES_NOT_PAY: Outcome.DOES_NOT_PAY, Verdict.TOO_CLOSE: Outcome.UNKNOWN,
        }[advice.verdict]  # fmt: skip
        details["advice"] = {
            **asdict(advice), "relative": advice.relative(advice.hits), "headline": advice.headline,
            "workload": asdict(advised.workload),
        }  # fmt: skip
    return Report("cost", outcome, programs=programs, details=details)


def _prediction_json(prediction: Prediction) -> dict[str, object]:
    program = prediction.program

    def lines(item: CostedPath) -> list[dict[str, object]]:
        return [
            {"path": line.span.path, "line": line.span.line, "ns": round(line.ns, 3)} for line in by_line(program, item.cost)
        ]

    return {
        "complete": prediction.complete,
        "notes": list(prediction.guesses),
        "paths": [
            {
                "outcome": item.outcome, "answers": item.answers, "ns": round(item.cost.ns, 3), "insns": len(item.path.steps),
                "decisions": [asdict(decision) for decision in item.path.decisions], "lines": lines(item),
            }
            for item in prediction.paths
        ],
    }  # fmt: skip
