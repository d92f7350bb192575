"""`check`: is the candidate equivalent to the reference, whatever either is written in?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bpfsmith.appnet import core
from bpfsmith.appnet.correspond import Place, known_places, layout_of, with_state
from bpfsmith.appnet.prove import prove
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.gate.differential import RUNS
from bpfsmith.gate.prove import prove_equal
from bpfsmith.isa.program import Program
from bpfsmith.objfile.object import Object
from bpfsmith.report import Outcome, Report
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Verdict
from bpfsmith.workflow.compiling import lowered
from bpfsmith.workflow.describe import Vocabulary
from bpfsmith.workflow.inputs import AppnetInput, BytecodeInput, Toolchain, open_input, split_program
from bpfsmith.workflow.proving import with_verdict


@dataclass(frozen=True, slots=True)
class Checked:
    """The verdict, what was compared, and the words for a counterexample."""

    verdict: Verdict
    reference: str
    candidate: str
    words: Vocabulary
    diagnostics: tuple[Diagnostic, ...] = ()


def check(
    reference: str,
    candidate: str,
    toolchain: Toolchain,
    *,
    places: Mapping[str, Place] | None = None,
    limits: Limits | None = None,
) -> Checked:
    """Compares two inputs, each FILE or FILE:PROGRAM. Raises InputError and Unsupported."""
    reference_path, reference_name = split_program(reference)
    candidate_path, candidate_name = split_program(candidate)
    first = open_input(reference_path, toolchain)
    second = open_input(candidate_path, toolchain)
    if isinstance(first, BytecodeInput) and isinstance(second, AppnetInput):
        # Equality has no direction, and a meaning is always the reference.
        first, second = second, first
        reference_name, candidate_name = candidate_name, reference_name
    warnings = first.warnings if isinstance(first, AppnetInput) else ()
    program, obj = _candidate(second, candidate_name, toolchain, first)
    if isinstance(first, AppnetInput):
        element = first.element
        known_places(element, places or {})
        body = _body(element, reference_name, program)
        verdict = prove(element, program, obj, body=body, places=places, limits=limits)
        layout = layout_of(element, with_state(program, obj, element), obj, places or {}, body)
        words = Vocabulary(program, element, None if isinstance(layout, str) else layout)
        return Checked(verdict, reference, candidate, words, warnings)
    side = first.only(reference_name), first.obj
    verdict = prove_equal(*side, program, obj, limits=limits, random_runs=RUNS, ask_verifier=True)
    return Checked(verdict, reference, candidate, Vocabulary(program, obj=obj, reference=side))


def _body(element: core.Element, wanted: str | None, program: Program) -> str:
    """Which step of the element a program is compared with: the one that FILE:resp names, or else the program's own name."""
    if wanted is None:
        return "resp" if element.resp and program.name.endswith("_resp") else "req"
    if wanted in element.steps:
        return wanted
    steps = " and ".join(f"`{step}`" for step in element.steps)
    raise InputError(
        Diagnostic(
            "unknown-program",
            f"{element.path} has no step called {wanted}",
            notes=(f"its steps are {steps}" if len(element.steps) > 1 else f"its only step is {steps}",),
            help=f"name one: {element.path}:req",
        )
    )


def _candidate(
    opened: AppnetInput | BytecodeInput, name: str | None, toolchain: Toolchain, reference: AppnetInput | BytecodeInput
) -> tuple[Program, Object | None]:
    if isinstance(opened, AppnetInput):
        opened, reference = lowered(opened, toolchain), opened
    if name is None and isinstance(reference, AppnetInput):
        # An element's object also holds its init program: the step is the one that is not run by hand.
        steps = [program for program in opened.programs if program.section != "syscall"]
        if len(steps) == 1:
            return steps[0], opened.obj
    return opened.only(name), opened.obj


def check_report(checked: Checked) -> Report:
    """The check as the envelope that JSON prints."""
    report = Report("check", Outcome.DONE, diagnostics=checked.diagnostics)
    details = {"reference": checked.reference, "candidate": checked.candidate}
    return replace(with_verdict(report, checked.verdict, checked.words), details=details)
