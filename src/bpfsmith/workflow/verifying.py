"""`verify`: the kernel's verdict on every program of a file, rejections with the verifier's words at the user's line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, KernelError, Label
from bpfsmith.gate.load import load_report
from bpfsmith.isa.insn import slot_starts
from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import Rejected
from bpfsmith.kernel.probe import Available, can_bpf
from bpfsmith.kernel.verifier_log import steps
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.source import Span
from bpfsmith.workflow.compiling import lowered
from bpfsmith.workflow.inputs import AppnetInput, BytecodeInput, Toolchain, open_input, split_program


def verify(paths: list[str], toolchain: Toolchain, *, timed: bool = False) -> Report:
    """Loads, without attaching, every program of each file (or the one that FILE:PROGRAM names).

    Raises KernelError `bpf-not-permitted` where nothing can be loaded.
    """
    must_load("so there is no verifier to ask")
    reports: list[ProgramReport] = []
    diagnostics: list[Diagnostic] = []
    for path in paths:
        opened, wanted = _open(path, toolchain)
        programs = opened.programs if wanted is None else (opened.only(wanted),)
        for program in programs:
            report, rejected = load_report(program, opened.obj, timed=timed)
            reports.append(report)
            if rejected is not None:
                diagnostics.append(explain_rejection(program, rejected))
        if opened.obj is not None and wanted is None:
            diagnostics += [problem for problems in opened.obj.problems.values() for problem in problems]
    refused = any(report.verdict != "accepted" for report in reports) or any(item.severity == "error" for item in diagnostics)
    outcome = Outcome.REJECTED if refused else Outcome.ACCEPTED
    return Report("verify", outcome, programs=tuple(reports), diagnostics=tuple(diagnostics))


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


def _open(path: str, toolchain: Toolchain) -> tuple[BytecodeInput, str | None]:
    file, wanted = split_program(path)
    opened = open_input(file, toolchain)
    if isinstance(opened, AppnetInput):
        opened = lowered(opened, toolchain)
    return opened, wanted


def explain_rejection(program: Program, rejected: Rejected) -> Diagnostic:
    """The verifier's complaint at the line of the instruction it was looking at, its words unaltered."""
    span = _last_span(program, rejected.log)
    last = list(steps(rejected.log))[-1:]
    notes = [f"verifier: {line}" for line in rejected.error_lines]
    notes += [f"at insn {step.slot}: {step.text}" + (f"   ; {step.state}" if step.state else "") for step in last]
    return Diagnostic(
        "verifier-rejected",
        f"the kernel's verifier rejects {program.name}: {rejected.reason}",
        Label(span, "the verifier stops here") if span else None,
        notes=tuple(notes),
        help=_help("\n".join(rejected.error_lines)),
    )


def _last_span(program: Program, log: str) -> Span | None:
    """Where the last instruction that the log speaks of came from."""
    slots = [step.slot for step in steps(log)]
    linked = program.linked()
    starts = slot_starts(linked)
    for slot in reversed(slots):
        if slot in starts[:-1]:
            span = linked[starts.index(slot)].span
            if span is not None:
                return replace(span, path=shown_path(span.path))
    return None


def shown_path(path: str) -> str:
    """BTF names files by absolute path: as the user would, where the file lies below the working directory."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


_HELP = (
    (r"invalid access to packet", "compare data + offset + size with data_end before this access"),
    (r"invalid mem access 'map_value_or_null'|'map_value_or_null'", "check what bpf_map_lookup_elem gave against NULL first"),
    (r"!read_ok|is not readable|R\d+ !read", "set the register (the variable) on every path that leads here"),
    (r"invalid access to map value|unbounded memory", "mask or compare the index: offset + size must stay inside the value"),
    (r"invalid bpf_context access", "read only the documented fields of the context, at their full size"),
    (r"back-edge|infinite loop|too large|too many", "bound the loop, or unroll it"),
    (r"unreleased reference|Unreleased reference", "release the reference on every path"),
    (r"bpf_spin_lock|holding a lock", "call helpers before the lock is taken or after it is given back"),
    (r"invalid stack|invalid indirect.* stack|stack", "initialise the stack bytes that are read, and stay within 512 bytes"),
    (r"leaks addr|leak", "do not return or store a pointer where a number is expected"),
    (r"unknown func|program of this type cannot use helper", "use a helper that this program type may call"),
    (r"GPL", 'license the program "GPL" or do without the GPL-only helper'),
)  # fmt: skip


def _help(reason: str) -> str:
    """An action for the commonest complaints."""
    return next((action for pattern, action in _HELP if re.search(pattern, reason)), "see `bpfsmith explain verifier-rejected`")
