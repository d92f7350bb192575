"""`compile` and `optimize` with `--kernel`: the first form of an object that the verifiers of all these kernels accept.

optimized at the -mcpu that was asked for, plain at that, plain at each lower one      loaded in one boot of each kernel
optimized at the lower one, where that is what they accept                             loaded once more
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic
from bpfsmith.gate.load import load_report
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.optimize.admit import Optimized, Settings
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.semantics.solver import Limits
from bpfsmith.workflow.compiling import Compiled, compile_appnet
from bpfsmith.workflow.explaining import explain_rejection
from bpfsmith.workflow.inputs import AppnetInput, BytecodeInput, Toolchain
from bpfsmith.workflow.kernels import HOST, gathered, on_guests
from bpfsmith.workflow.loadable import Choices, loadable
from bpfsmith.workflow.optimizing import object_bytes, optimize_file
from bpfsmith.workflow.subjects import Subject

LEVELS = ("v4", "v3", "v2", "v1")


def levels_below(cpu: str) -> tuple[str, ...]:
    """The instruction sets that are parts of this one, the largest first."""
    return LEVELS[LEVELS.index(cpu) + 1 :]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What each kernel says of each program of one form of an object."""

    reports: tuple[ProgramReport, ...]
    diagnostics: tuple[Diagnostic, ...]
    remark: str = ""
    """What had to be done for them."""

    @property
    def accepted(self) -> bool:
        return all(report.verdict == "accepted" for report in self.reports)

    def outcome(self, otherwise: Outcome) -> Outcome:
        """Rejected where a kernel refuses a program, unknown where one died before it said so, else what the rest says."""
        verdicts = {report.verdict for report in self.reports}
        if verdicts <= {"accepted"}:
            return otherwise
        return Outcome.UNKNOWN if verdicts <= {"accepted", "unknown"} else Outcome.REJECTED

    @property
    def refused(self) -> tuple[str, ...]:
        """The programs that a kernel does not accept."""
        return tuple(dict.fromkeys(report.name for report in self.reports if report.verdict != "accepted"))

    def lines(self) -> list[str]:
        """One line for each kernel."""
        found: dict[str, list[ProgramReport]] = {}
        for report in self.reports:
            found.setdefault(report.kernel or HOST, []).append(report)
        lines = [f"{'kernel ' + kernel:<11} {_words(reports)}" for kernel, reports in found.items()]
        return [*lines, f"{'':<11} {self.remark}"] if self.remark else lines

    def added_to(self, report: Report) -> Report:
        """The report of a command with what the kernels say."""
        details = {"kernels": [item.json() for item in self.reports], "for_kernels": self.remark}
        return replace(
            report,
            verdict=self.outcome(report.verdict) if report.verdict.exit_code == 0 else report.verdict,
            diagnostics=(*report.diagnostics, *self.diagnostics),
            details={**report.details, **details},
        )


def _words(reports: Sequence[ProgramReport]) -> str:
    refused = [report for report in reports if report.verdict != "accepted"]
    if refused:
        return "; ".join(f"{report.name} {report.verdict}: {report.reason}" for report in refused)
    return f"accepts it ({sum(report.processed_insns or 0 for report in reports)} insns processed)"


def judge(path: str, forms: Sequence[bytes], programs: Sequence[str], kernels: Sequence[str]) -> list[Judgement]:
    """Loads the programs of these names (all where there are none) of each form on each kernel, in one boot of each.

    KernelError `no-qemu`, `kernel-not-available` or `bpf-not-permitted`.
    """
    subjects: list[Subject] = []
    owners: list[int] = []
    for owner, data in enumerate(forms):
        for subject in _subjects(path, read_object(data), programs):
            subjects.append(subject)
            owners.append(owner)
    reports: list[list[ProgramReport]] = [[] for _ in forms]
    said: list[list[tuple[str, Diagnostic]]] = [[] for _ in forms]
    if HOST in kernels:
        for owner, subject in zip(owners, subjects, strict=True):
            report, rejected = load_report(subject.program, subject.opened.obj, timed=False, maps=subject.maps)
            reports[owner].append(replace(report, file=subject.file, kernel=HOST))
            if rejected is not None:
                said[owner].append((HOST, explain_rejection(subject.program, rejected, subject.opened.obj)))
    for guest in on_guests(subjects, [name for name in kernels if name != HOST]):
        for owner, report, told in zip(owners, guest.reports, guest.diagnostics, strict=True):
            reports[owner].append(report)
            said[owner] += ((guest.kernel, item) for item in (*told, *((guest.died,) if guest.died else ())))
    return [Judgement(tuple(mine), tuple(gathered(words))) for mine, words in zip(reports, said, strict=True)]


def _subjects(path: str, obj: Object, programs: Sequence[str]) -> Iterator[Subject]:
    opened = BytecodeInput(path, obj.programs, obj)
    for program in [obj.program(name) for name in programs] or obj.programs:
        ready, maps, assumed = loadable(program, obj, Choices({}))
        yield Subject(path, ready, opened, maps, assumed)


def compile_for(
    kernels: Sequence[str],
    opened: AppnetInput,
    toolchain: Toolchain,
    *,
    limits: Limits | None = None,
    timed: bool = True,
    optimized: bool = True,
) -> tuple[Compiled, Judgement]:
    """An element in the first form that all of `kernels` accept; in the one that was asked for where they accept none, and the
    Judgement says so. Raises what `judge` and `compile_appnet` raise."""

    def compiled(cpu: str, optimized: bool) -> Compiled:
        return compile_appnet(opened, replace(toolchain, cpu=cpu), limits=limits, timed=timed, optimized=optimized)

    asked = compiled(toolchain.cpu, optimized)
    c_text, name = asked.generated.c_text, f"{opened.element.name}.bpf.c"
    levels = (toolchain.cpu, *levels_below(toolchain.cpu))
    plain = [replace(toolchain, cpu=cpu).compile_generated(c_text, name) for cpu in levels]
    found = judge(opened.path, [asked.object_bytes, *plain], (), kernels)
    at = _first_accepted(found)
    if at is None:
        return replace(asked, elsewhere=found[0].outcome(Outcome.EQUAL)), found[0]
    if at == 0:
        return asked, found[0]
    cpu = levels[at - 1]
    if optimized and at > 1:
        better = compiled(cpu, True)
        judged = judge(opened.path, [better.object_bytes], (), kernels)[0]
        if judged.accepted:
            return better, replace(judged, remark=_lower(cpu, toolchain))
    return compiled(cpu, False), replace(found[at], remark=_lower(cpu, toolchain) if at > 1 else _AS_IT_WAS)


_AS_IT_WAS = "not optimized: they do not all accept the optimized form"


def _lower(cpu: str, toolchain: Toolchain) -> str:
    return f"compiled with -mcpu={cpu}: they do not all accept -mcpu={toolchain.cpu}"


def optimize_for(
    kernels: Sequence[str], path: str, toolchain: Toolchain, settings: Settings, progress: Callable[[str], None]
) -> tuple[Optimized, Judgement]:
    """A file optimized so that all of `kernels` accept it: programs whose new form one of them refuses stay as they were, and
    C is compiled for a lower -mcpu where that is what is missing. What comes may still be refused: the Judgement says so."""
    done = optimize_file(path, toolchain, settings, progress)
    levels = (toolchain.cpu, *levels_below(toolchain.cpu)) if Path(path).suffix != ".o" else (toolchain.cpu,)
    plain = [object_bytes(path, replace(toolchain, cpu=cpu)) for cpu in levels]
    progress(f"loading {path} on {', '.join(kernels)}")
    found = judge(path, [done.data, *plain], settings.programs, kernels)
    at = _first_accepted(found)
    if at is None or at == 0:
        return done, found[0]
    cpu = levels[at - 1]
    remark = _lower(cpu, toolchain) if at > 1 else ""
    lower, settings = replace(toolchain, cpu=cpu), replace(settings, cpu=int(cpu.removeprefix("v")))
    judged = found[0]
    if at > 1:
        done = optimize_file(path, lower, settings, progress)
        judged = judge(path, [done.data], settings.programs, kernels)[0]
        if judged.accepted:
            return done, replace(judged, remark=remark)
    good = tuple(item.before.name for item in done.programs if item.before.name not in judged.refused)
    if good:
        partly = optimize_file(path, lower, replace(settings, programs=good), progress)
        judged_again = judge(path, [partly.data], settings.programs, kernels)[0]
        if judged_again.accepted:
            kept = f"as they were, for these kernels: {', '.join(judged.refused)}"
            return partly, replace(judged_again, remark="; ".join(filter(None, (remark, kept))))
    return Optimized(plain[at - 1], ()), replace(found[at], remark="; ".join(filter(None, (remark, _AS_IT_WAS))))


def _first_accepted(found: Sequence[Judgement]) -> int | None:
    return next((at for at, judgement in enumerate(found) if judgement.accepted), None)
