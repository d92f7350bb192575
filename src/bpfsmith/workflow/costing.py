"""`cost`: what a program will cost by path and by source line, and whether offloading to it pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bpfsmith.cost.advice import Advice, Costs, Verdict, advise
from bpfsmith.cost.bench import Bench
from bpfsmith.cost.checking import Check, Checks
from bpfsmith.cost.checking import check as checked
from bpfsmith.cost.model import Model, Usage
from bpfsmith.cost.predict import CostedPath, Prediction, by_line, predict
from bpfsmith.cost.profile import Profile, load_profile
from bpfsmith.cost.workload import Workload, of_share, read_workload
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.execution import MapContents
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.objfile.object import Object
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input, split_program
from bpfsmith.workflow.trying import maps_of, packet_of
from bpfsmith.workflow.verifying import must_load

_TICK = 1.0
_TRIVIAL = ("train", "turn")
"""What the programs of hooks.echo do to a packet: it is part of what those round trips take."""


@dataclass(frozen=True, slots=True)
class Hook:
    """The cases of a profile that say what answering and passing at a program type's hook take."""

    echo: str
    passing: str | None
    baseline: str


HOOKS = {
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
    check_by_running: bool = False

    def validate(self) -> None:
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
        advises = self.workload is not None or self.hits is not None
        for name, given in (
            ("--baseline-ns", self.baseline_ns is not None),
            ("--service-ns", self.service_ns),
            ("--saves-ns", self.saved_ns),
            ("--rate", self.per_second is not None),
        ):
            if given and not advises:
                raise InputError(
                    Diagnostic(
                        "bad-command", f"{name} is for advice, and there is no workload", help="give --workload or --hits"
                    )
                )
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
    check: Check | None = None
    slowdown: float = 1.0


def cost(path: str, question: Question, toolchain: Toolchain) -> list[Costed]:
    """The cost of every program of FILE, or of FILE:PROGRAM. Advice needs one program: InputError `ambiguous-program`."""
    question.validate()
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
    packet = packet_of(question.packet) if question.packet is not None else None
    checks = _checks(question, programs, opened.obj, model) if question.check_by_running else None
    out = []
    for index, program in enumerate(programs):
        maps = maps_of(question.maps, program)
        prediction = predict(program, model, packet=packet, maps=maps)
        workload = advice = None
        if asks:
            workload = _workload(question, program, prediction, model, maps)
            advice = advise(costs_of(question, profile, program, workload), workload.hits)
        check = checks.checks[index] if checks is not None else None
        slowdown = checks.slowdown if checks is not None else 1.0
        out.append(Costed(profile, prediction, workload, advice, check, slowdown))
    return out


def _checks(question: Question, programs: Sequence[Program], obj: Object | None, model: Model) -> Checks:
    """Runs the programs. KernelError `bpf-not-permitted` or `cannot-measure`."""
    must_load("so the prediction cannot be checked")
    maps = maps_of(question.maps, programs[0]) if question.maps is not None else {}  # one program then
    with Bench() as bench:
        return checked([(program, obj) for program in programs], model, bench, packet_of(question.packet), maps)


def _workload(
    question: Question, program: Program, prediction: Prediction, model: Model, maps: Mapping[str, MapContents]
) -> Workload:
    if question.workload is not None:
        return read_workload(question.workload, program, prediction, model, maps)
    assert question.hits is not None
    return of_share(prediction, question.hits, "--hits")


def costs_of(question: Question, profile: Profile, program: Program, workload: Workload) -> Costs:
    """ns a request, put together from the profile's round trips and the program's own time."""
    hook = HOOKS.get(for_section(program.section).name)
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
    adds = _hook_ns(profile, hook)
    return Costs(baseline, fast, (workload.slow_ns or 0.0) + adds, question.saved_ns, workload.program_ns, adds)


def _hook_ns(profile: Profile, hook: Hook) -> float:
    """What an empty program at the hook adds to a request that passes: measured by itself, and as what it adds to round trips,
    where the client's device needs a program too (native XDP on veth). The difference of round trips is blurred, so that it
    counts only where it is more."""
    adds = profile.value("hooks.prepare", hook.echo, 0.0)
    if hook.passing is None:
        return adds
    return max(_needed(profile, "hooks.echo", hook.passing) - _needed(profile, "hooks.echo", hook.baseline), adds)


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


def bounds(ns: float, profile: Profile) -> tuple[float, ...]:
    """Between which ns 8 of 10 runs of what is predicted lie, half a ns for a clock that ticks in whole ones; empty where the
    profile cannot tell."""
    if profile.likely_factors is None:
        return ()
    low, high = profile.likely_factors
    return max(ns * low - _TICK / 2, 0.0), ns * high + _TICK / 2


# --- the envelope -----------------------------------------------------------------------------------------------------
def cost_report(costed: list[Costed]) -> Report:
    """`predictions` lists paths and lines by program; `advice` is there where there was a workload."""
    programs = tuple(
        ProgramReport(item.prediction.program.name, item.prediction.program.section, len(item.prediction.program.linked()))
        for item in costed
    )
    details: dict[str, object] = {
        "profile": _profile_json(costed[0].profile) if costed else None,
        "predictions": {item.prediction.program.name: _prediction_json(item.prediction, item.profile) for item in costed},
    }
    if any(item.check is not None for item in costed):
        details["checks"] = {item.prediction.program.name: _check_json(item) for item in costed if item.check is not None}
    outcome = Outcome.DONE
    advised = next((item for item in costed if item.advice is not None), None)
    if advised is not None and advised.advice is not None and advised.workload is not None:
        advice = advised.advice
        outcome = {
            Verdict.PAYS: Outcome.PAYS, Verdict.DOES_NOT_PAY: Outcome.DOES_NOT_PAY, Verdict.TOO_CLOSE: Outcome.UNKNOWN,
        }[advice.verdict]  # fmt: skip
        details["advice"] = {
            **asdict(advice), "relative": advice.relative(advice.hits), "headline": advice.headline,
            "dearest_answer_ns": advice.dearest_answer_ns,
            "workload": asdict(advised.workload),
        }  # fmt: skip
    return Report("cost", outcome, programs=programs, details=details)


def _check_json(costed: Costed) -> dict[str, object]:
    assert costed.check is not None
    check = costed.check
    return {
        "outcome": check.path.outcome, "predicted_ns": check.path.cost.ns, "measured_ns": check.measured.value,
        "spread_ns": check.measured.spread, "rounds": check.measured.samples, "error": check.error, "slowdown": costed.slowdown,
        "put_right_ns": check.put_right.value, "error_put_right": check.error_put_right,
    }  # fmt: skip


def _profile_json(profile: Profile) -> dict[str, object]:
    trust = {"speed": asdict(profile.speed), "fit_error": profile.fit.error}
    return {"path": profile.path, **asdict(profile.provenance), **trust}


def _prediction_json(prediction: Prediction, profile: Profile) -> dict[str, object]:
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
                "outcome": item.outcome, "answers": item.answers, "ns": round(item.cost.ns, 3),
                "ns_8_of_10": [round(bound, 3) for bound in bounds(item.cost.ns, profile)],
                "cycles": round(item.cost.ns * profile.speed.clock_ghz, 1), "insns": len(item.path.steps),
                "decisions": [asdict(decision) for decision in item.path.decisions], "lines": lines(item),
            }
            for item in prediction.paths
        ],
    }  # fmt: skip
