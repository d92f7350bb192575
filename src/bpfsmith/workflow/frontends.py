"""Languages that become proved programs by three functions each: text to a tree, the tree's meaning, the tree as C.

The meaning is a program of plain instructions, written apart from the C; the bytecode that clang and the optimizer make of the
C is proved equal to it. AppNet and the probe language, whose steps share state, have richer meanings of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bpfsmith.appnet.parse import read_source
from bpfsmith.diagnostic import Diagnostic, InternalError
from bpfsmith.gate.load import load_report
from bpfsmith.gate.prove import prove_equal
from bpfsmith.isa.program import Program
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.optimize.admit import Settings, optimize
from bpfsmith.pcap import lower as pcap_lower
from bpfsmith.pcap import meaning as pcap_meaning
from bpfsmith.pcap import syntax as pcap_syntax
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Different, Equal, Verdict
from bpfsmith.workflow.describe import Vocabulary
from bpfsmith.workflow.inputs import Toolchain, can_bpf_here
from bpfsmith.workflow.proving import with_verdict


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """A language. `parse(text, path)` raises InputError at the place of a mistake; `meaning` and `lower` get the tree and the
    program's name."""

    language: str
    parse: Callable[[str, str], Any]
    meaning: Callable[[Any, str], Program]
    lower: Callable[[Any, str], str]


FRONT_ENDS: Mapping[str, FrontEnd] = {
    ".filter": FrontEnd("packet filter", pcap_syntax.parse, pcap_meaning.meaning, pcap_lower.lower),
}
"""By the ending of a file's name; `inputs.SUFFIXES` has them for people."""


@dataclass(frozen=True, slots=True)
class Made:
    """A text as a proved object. `reference` is its meaning."""

    path: str
    name: str
    c_text: str
    object_bytes: bytes
    obj: Object
    reference: Program
    verdict: Verdict
    report: ProgramReport | None = None


def made(path: str, toolchain: Toolchain, *, optimized: bool = True, timed: bool = False, limits: Limits | None = None) -> Made:
    """Compiles, optimizes and proves; loads and times where bpf(2) works. InputError for a text that is none, InternalError
    `generator-mismatch` where C and meaning part."""
    front_end = FRONT_ENDS[Path(path).suffix]
    name = re.sub(r"\W", "_", Path(path).stem) or "program"
    name = f"f_{name}" if name[0].isdigit() else name
    tree = front_end.parse(read_source(path).text, path)
    reference, c_text = front_end.meaning(tree, name), front_end.lower(tree, name)
    plain = toolchain.compile_generated(c_text, f"{name}.bpf.c")
    data = (
        optimize(plain, path, Settings(timed=False, cpu=toolchain.level, patience=0, quick=True)).data if optimized else plain
    )
    verdict = _proved(reference, data, limits)
    if data != plain and not isinstance(verdict, Equal):  # what clang made may be easier to prove
        data, verdict = plain, _proved(reference, plain, limits)
    if isinstance(verdict, Different):
        raise InternalError(
            Diagnostic(
                "generator-mismatch",
                f"the code generated for {path} does not do what the {front_end.language} means",
                notes=(f"they differ in the {verdict.counterexample.observable}",),
                help="this is a bug of bpfsmith; please report it with the program",
            )
        )
    obj = read_object(data)
    report = load_report(obj.programs[0], obj, timed=timed)[0] if can_bpf_here() else None
    return Made(path, name, c_text, data, replace(obj, path=path), reference, verdict, report)


def _proved(reference: Program, data: bytes, limits: Limits | None) -> Verdict:
    obj = read_object(data)
    return prove_equal(reference, None, obj.programs[0], obj, limits=limits)


def made_report(done: Made) -> Report:
    """The envelope, as that of `compile`."""
    report = with_verdict(Report("compile", Outcome.DONE), done.verdict, Vocabulary(done.obj.programs[0], obj=done.obj))
    if done.report is not None and done.report.verdict == "rejected":
        report = replace(report, verdict=Outcome.REJECTED)
    return replace(report, programs=(done.report,) if done.report else (), details={"c_lines": done.c_text.count("\n")})
