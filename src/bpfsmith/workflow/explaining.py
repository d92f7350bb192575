"""A rejection by the verifier as a diagnostic: the user's line first, the kernel's words below."""

from __future__ import annotations

from dataclasses import replace

from bpfsmith.diagnostic import Diagnostic, Label
from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import Rejected
from bpfsmith.objfile.object import Object
from bpfsmith.repair import ctext
from bpfsmith.repair.case import Case, shown_path
from bpfsmith.repair.diagnose import diagnose, diagnostic

__all__ = ["explain_rejection", "placed", "shown_path"]


def placed(item: Diagnostic, program: Program, obj: Object | None) -> Diagnostic:
    """What kept a program from the verifier, at the line of its section where it has no place of its own."""
    if item.primary is not None:
        return item
    case = Case(program, Rejected(program, 0, "", ()), obj)
    at = ctext.section_line(case) or case.function_span
    if at is None:
        return item
    return replace(item, primary=Label(at, "of this program"), source=case.text(at.path))


def explain_rejection(program: Program, rejected: Rejected, obj: Object | None = None) -> Diagnostic:
    """Why the verifier refuses a program, at the line where the change belongs, its words unaltered."""
    return diagnostic(diagnose(program, rejected, obj))
