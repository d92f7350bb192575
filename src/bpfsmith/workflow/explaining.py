"""A rejection by the verifier as a diagnostic: the user's line first, the kernel's words below."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, Label
from bpfsmith.isa.insn import slot_starts
from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import Rejected
from bpfsmith.kernel.verifier_log import steps
from bpfsmith.objfile.object import Object
from bpfsmith.source import Span


def explain_rejection(program: Program, rejected: Rejected, obj: Object | None = None) -> Diagnostic:
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
        help="",
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
