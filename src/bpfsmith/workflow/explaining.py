"""A rejection by the verifier as a diagnostic: the user's line first, the kernel's words below."""

from __future__ import annotations

from bpfsmith.diagnostic import Diagnostic
from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import Rejected
from bpfsmith.objfile.object import Object
from bpfsmith.repair.case import shown_path
from bpfsmith.repair.diagnose import diagnose, diagnostic

__all__ = ["explain_rejection", "shown_path"]


def explain_rejection(program: Program, rejected: Rejected, obj: Object | None = None) -> Diagnostic:
    """Why the verifier refuses a program, at the line where the change belongs, its words unaltered."""
    return diagnostic(diagnose(program, rejected, obj))
