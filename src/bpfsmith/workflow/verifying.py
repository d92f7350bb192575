"""`verify`: the kernel's verdict on every program of a file, rejections explained at the user's line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from bpfsmith.diagnostic import Diagnostic, InputError, KernelError, Severity, ToolError
from bpfsmith.gate.load import bare_report, load_report
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.kernel.load import Rejected
from bpfsmith.kernel.probe import Available, can_bpf
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.workflow.compiling import lowered
from bpfsmith.workflow.explaining import explain_rejection
from bpfsmith.workflow.inputs import AppnetInput, BytecodeInput, Toolchain, open_input, split_program
from bpfsmith.workflow.loadable import Choices, loadable
from bpfsmith.workflow.repairing import Suggestion, suggest, suggestion_note

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """One program as it is loaded, with all maps of its file and what was assumed. `file` is as the user named it, without the
    program."""

    file: str
    program: Program
    opened: BytecodeInput
    maps: tuple[MapSpec, ...] = ()
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unloadable:
    """A program, or with `name` empty a whole file, that never came before the verifier."""

    file: str
    diagnostics: tuple[Diagnostic, ...]
    name: str = ""
    section: str = ""


def subjects(paths: Sequence[str], toolchain: Toolchain, choices: Choices) -> Iterator[Subject | Unloadable]:
    """The programs of each file, or the one that FILE:PROGRAM names."""
    for path in paths:
        file, wanted = split_program(path)
        try:
            opened = open_input(file, toolchain)
            if isinstance(opened, AppnetInput):
                opened = lowered(opened, toolchain)
            programs = opened.programs if wanted is None else (opened.only(wanted),)
        except ToolError as error:
            if error.exit_code != 2:
                raise
            yield Unloadable(file, error.diagnostics)
            continue
        for program in programs:
            try:
                ready, maps, assumed = loadable(program, opened.obj, choices)
            except InputError as error:
                yield Unloadable(file, error.diagnostics, program.name, program.section)
                continue
            yield Subject(file, ready, opened, maps, assumed)
        if opened.obj is not None and wanted is None:
            for name, problems in opened.obj.problems.items():
                yield Unloadable(file, problems, name)


def verify(
    paths: Sequence[str],
    toolchain: Toolchain,
    *,
    timed: bool = False,
    choices: Choices | None = None,
    repair: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Loads, without attaching, every program of each file (or the one that FILE:PROGRAM names).

    A program that cannot come before the verifier has the verdict "unloadable"; with `repair` a change to the C is searched for
    each that is rejected. Raises KernelError `bpf-not-permitted` where nothing can be loaded, and the InputError of the only
    file.
    """
    must_load("so there is no verifier to ask")
    reports: list[ProgramReport] = []
    diagnostics: list[Diagnostic] = []
    suggestions: tuple[Suggestion, ...] = ()
    for item in subjects(paths, toolchain, choices or Choices({})):
        if progress is not None:
            progress(item.file)
        if isinstance(item, Unloadable):
            if not item.name and len(paths) == 1:
                raise InputError(*item.diagnostics)
            reports.append(_unloadable(item))
            diagnostics += item.diagnostics
            continue
        report, said, rejected = _verdict(item, timed)
        reports.append(report)
        diagnostics += (*said, *assumptions(item))
        if repair and rejected is not None and item.opened.obj is not None and item.file.endswith(".c"):
            found = suggest(item.file, item.program, rejected, item.opened.obj, toolchain, choices or Choices({}))
            suggestions += (found,) if found else ()
            diagnostics.append(suggestion_note(found, item.file, item.program.name))
    refused = any(report.verdict != "accepted" for report in reports)
    outcome = Outcome.REJECTED if refused else Outcome.ACCEPTED
    details = {"repairs": [found.json() for found in suggestions]} if repair else {}
    return Report("verify", outcome, programs=tuple(reports), diagnostics=tuple(dict.fromkeys(diagnostics)), details=details)


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
        return unloadable, error.diagnostics, None
    report = replace(report, file=subject.file)
    return report, () if rejected is None else (explain_rejection(program, rejected, obj),), rejected


def assumptions(subject: Subject) -> tuple[Diagnostic, ...]:
    """What was assumed to load a program, as notes."""
    return tuple(
        Diagnostic(
            "assumed-for-loading",
            f"{subject.file}: {text}",
            severity=Severity.NOTE,
            help="`--map NAME=ENTRIES[:VALUE_SIZE]` and `--section NAME` say it otherwise",
        )
        for text in subject.assumed
    )


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
