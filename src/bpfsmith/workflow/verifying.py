"""`verify`: the kernel's verdict on every program of a file, rejections explained at the user's line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bpfsmith.diagnostic import Diagnostic, InputError, KernelError, Severity, ToolError
from bpfsmith.gate.load import bare_report, load_report
from bpfsmith.kernel.load import Rejected
from bpfsmith.kernel.probe import Available, can_bpf
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.workflow.explaining import explain_rejection, placed
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.kernels import HOST, gathered, on_guests
from bpfsmith.workflow.loadable import Choices
from bpfsmith.workflow.profiling import Cost, costs
from bpfsmith.workflow.repairing import Suggestion, suggest, suggestion_note
from bpfsmith.workflow.subjects import Subject, Unloadable, subjects

Progress = Callable[[str], None]


def verify(
    paths: Sequence[str],
    toolchain: Toolchain,
    *,
    timed: bool = False,
    choices: Choices | None = None,
    repair: bool = False,
    kernels: Sequence[str] = (HOST,),
    cpus: Sequence[str] = (),
    profile: bool = False,
    attach: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Loads, without attaching, every program of each file (or the one that FILE:PROGRAM names), on each of `kernels`.

    With `attach` what other kernels accept is attached there and runs. A program that cannot come before the verifier has the
    verdict "unloadable"; with `repair` a change to the C is searched for each that is rejected. Raises KernelError
    `bpf-not-permitted` where nothing can be loaded, and the InputError of the only file.
    """
    if attach and not any(kernel != HOST for kernel in kernels):
        raise InputError(
            Diagnostic(
                "bad-command",
                "--attach makes programs run in virtual machines, and --kernel names none",
                help="name the kernels: --kernel 6.1,6.12 --attach",
            )
        )
    if HOST in kernels:
        must_load("so there is no verifier to ask")
    chosen = choices or Choices({})
    reports: list[ProgramReport] = []
    diagnostics: list[Diagnostic] = []
    by_kernel: list[tuple[str, Diagnostic]] = []
    suggestions: tuple[Suggestion, ...] = ()
    ready: list[Subject] = []
    compiled_for: list[str | None] = []
    profiles: dict[str, list[Cost]] = {}
    for cpu, item in _each(paths, toolchain, chosen, cpus):
        if progress is not None:
            progress(item.file)
        if isinstance(item, Unloadable):
            if not item.name and len(paths) == 1:
                raise InputError(*item.diagnostics)
            reports.append(replace(_unloadable(item), cpu=cpu))
            diagnostics += item.diagnostics
            continue
        ready.append(item)
        compiled_for.append(cpu)
        if profile:
            profiles[item.program.name] = costs(item)
        if HOST not in kernels:
            continue
        report, said, rejected = _verdict(item, timed)
        report = replace(report, cpu=cpu)
        reports.append(replace(report, kernel=HOST) if len(kernels) > 1 else report)
        by_kernel += ((HOST, told) for told in said)
        if len(kernels) == 1:
            diagnostics += said
        if repair and rejected is not None:
            obj = item.opened.obj if item.file.endswith(".c") else None
            found = suggest(item.file, item.program, rejected, obj, toolchain, chosen) if obj is not None else None
            suggestions += (found,) if found else ()
            diagnostics.append(suggestion_note(found, item.file, item.program.name, is_c=obj is not None))
    diagnostics += assumptions(ready)
    others = [kernel for kernel in kernels if kernel != HOST]
    repaired: list[Diagnostic] = []
    if others and ready:
        for guest in on_guests(ready, others, attach=attach):
            reports += (replace(report, cpu=cpu) for report, cpu in zip(guest.reports, compiled_for, strict=True))
            by_kernel += ((guest.kernel, told) for told in guest.said)
            for item, rejected in zip(ready, guest.rejections, strict=True) if repair else ():
                if rejected is None or guest.image is None or item.opened.obj is None or not item.file.endswith(".c"):
                    continue
                if progress is not None:
                    progress(f"{item.file} on kernel {guest.kernel}")
                where = (guest.kernel, guest.image)
                found = suggest(item.file, item.program, rejected, item.opened.obj, toolchain, chosen, where)
                suggestions += (found,) if found else ()
                repaired.append(suggestion_note(found, item.file, item.program.name, kernel=guest.kernel))
        diagnostics += [*gathered(by_kernel), *repaired]
    details: dict[str, object] = {"repairs": [found.json() for found in suggestions]} if repair else {}
    if profile:
        details["profiles"] = {name: [cost.json() for cost in found] for name, found in profiles.items()}
    unique = tuple(dict.fromkeys(diagnostics))
    return Report("verify", _outcome(reports), programs=tuple(reports), diagnostics=unique, details=details)


def _each(
    paths: Sequence[str], toolchain: Toolchain, choices: Choices, cpus: Sequence[str]
) -> Iterator[tuple[str | None, Subject | Unloadable]]:
    """Every program, compiled for each of `cpus` where there are any."""
    if not cpus:
        yield from ((None, item) for item in subjects(paths, toolchain, choices))
    for path in paths if cpus else ():
        for cpu in cpus:
            yield from ((cpu, item) for item in subjects([path], replace(toolchain, cpu=cpu), choices))


def _outcome(reports: Sequence[ProgramReport]) -> Outcome:
    """Rejected where one is; unknown where a guest died before it came to one."""
    if any(report.cpu for report in reports):  # several ways to compile: one that is accepted will do
        best = {(report.file, report.name): report for report in reports if report.verdict == "accepted"}
        reports = [best.get((report.file, report.name), report) for report in reports]
    verdicts = {report.verdict for report in reports}
    if verdicts <= {"accepted"}:
        return Outcome.ACCEPTED
    return Outcome.UNKNOWN if verdicts <= {"accepted", "unknown"} else Outcome.REJECTED


def _unloadable(item: Unloadable) -> ProgramReport:
    name, reason = item.name or "(the file)", item.diagnostics[0].message
    return ProgramReport(name, item.section, 0, verdict="unloadable", reason=reason, file=item.file)


def _verdict(subject: Subject, timed: bool) -> tuple[ProgramReport, tuple[Diagnostic, ...], Rejected | None]:
    program, obj = subject.program, subject.opened.obj
    try:
        report, rejected = load_report(program, obj, timed=timed, maps=subject.maps)
    except ToolError as error:
        bare = bare_report(program)
        unloadable = replace(bare, verdict="unloadable", reason=error.diagnostics[0].message, file=subject.file)
        told = (
            replace(placed(item, program, obj), message=f"{subject.file}: {program.name}: {item.message}")
            for item in error.diagnostics
        )
        return unloadable, tuple(told), None
    report = replace(report, file=subject.file)
    return report, () if rejected is None else (explain_rejection(program, rejected, obj),), rejected


def assumptions(ready: Sequence[Subject]) -> list[Diagnostic]:
    """What was assumed to load the programs, as one note for each file."""
    by_file: dict[str, dict[str, None]] = {}
    for item in ready:
        by_file.setdefault(item.file, {}).update(dict.fromkeys(item.assumed))
    return [
        Diagnostic(
            "assumed-for-loading",
            f"{file} leaves open what its own loader sets: the verdict holds for what is assumed",
            severity=Severity.NOTE,
            notes=tuple(texts),
            help="`--map NAME=ENTRIES[:VALUE_SIZE]` and `--section NAME` say it otherwise",
        )
        for file, texts in by_file.items()
        if texts
    ]


def must_load(consequence: str) -> None:
    """Raises KernelError `bpf-not-permitted` where bpf(2) cannot be used."""
    capability = can_bpf()
    if not isinstance(capability, Available):
        raise KernelError(
            Diagnostic(
                "bpf-not-permitted",
                f"this process may not load programs, {consequence}",
                notes=(str(capability.obstacle),),
                help="run as root, or with CAP_BPF and CAP_NET_ADMIN",
            )
        )
