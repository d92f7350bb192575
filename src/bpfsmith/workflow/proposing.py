"""`compile --model` and `optimize --model`: candidates of a language model beside the rule-based result, which stands where
none is proved, or none is better."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from bpfsmith.appnet import core, facts, fixed
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.optimize.admit import Optimized, Settings
from bpfsmith.propose.loop import Proposed
from bpfsmith.propose.prompt import skeleton, to_fill_in
from bpfsmith.propose.screen import includes
from bpfsmith.propose.task import Passed, Task
from bpfsmith.report import ProgramReport, Report
from bpfsmith.semantics.solver import Limits
from bpfsmith.workflow.asking import ModelOptions, asked, asked_json, asked_lines, model_of, said, table, warnings
from bpfsmith.workflow.compiling import Compiled, compile_report, place_of
from bpfsmith.workflow.compiling import generate as generate_c
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input
from bpfsmith.workflow.judging import AppnetGate, Better, CodeGate, optimized_insns, steps_insns
from bpfsmith.workflow.optimizing import optimize_report
from bpfsmith.workflow.sandbox import sandbox

Progress = Callable[[str], None]


# --- compile ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ModelCompiled:
    """The rule-based result, what the model proposed, and which of the two is written: the smaller one."""

    rules: Compiled
    proposed: Proposed[Compiled]

    @property
    def candidate(self) -> Compiled | None:
        best = self.proposed.best
        return best.judged.product if best is not None and isinstance(best.judged, Passed) else None

    @property
    def chosen(self) -> Compiled:
        candidate = self.candidate
        return candidate if candidate is not None and steps_insns(candidate) < steps_insns(self.rules) else self.rules


def compile_task(opened: AppnetInput, rules: Compiled | None, toolchain: Toolchain) -> Task:
    """An element as a task: its text, and what its object has to be called and contain."""
    element = opened.element
    generated = rules.generated if rules is not None else generate_c(opened, place_of(opened, toolchain))
    source = "\n".join(Path(path).read_text(encoding="utf-8").rstrip() for path in _paths(opened))
    return Task("generate", element.name, source, tuple(_interface(element, generated.c_text)))


def _paths(opened: AppnetInput) -> list[str]:
    return [path for path in opened.path.split(" + ") if Path(path).is_file()]


def _interface(element: core.Element, c_text: str) -> Iterator[str]:
    """What the generated C declares, how its functions begin and how they find a message: the same for every right answer."""
    text = skeleton(c_text, _reading)
    kept = [line for line in text.strip().split("\n") if not line.startswith(("#line", f"// {element.name}: generated"))]
    yield to_fill_in("\n".join(kept))
    yield from _numbers(element)


def _reading(body: str) -> str:
    """The lines of a function that read the message; none where it looks at none."""
    prologue = body.partition("#line")[0]
    if "A message" not in prologue:
        return ""
    return "".join(f"{line}\n" for line in prologue.rstrip().split("\n") if not _NOT_READING.search(line))


_NOT_READING = re.compile(r"bpf_get_prandom_u32|bpf_ktime_get_ns|bpf_spin_lock|^\s*int verdict|^$")


def _numbers(element: core.Element) -> Iterator[str]:
    """Floats as the numbers that they are in C: nobody should have to multiply by 2^32."""
    folded = facts.with_constants(element)
    found: dict[Fraction, None] = {}
    for expr in facts.expressions((*folded.init, *folded.req, *folded.resp)):
        if isinstance(expr, core.Const) and expr.type == core.FLOAT and not isinstance(expr.value, bytes):
            found[Fraction(expr.value)] = None
    draws = any(isinstance(expr, core.Draw) for expr in facts.expressions((*folded.req, *folded.resp)))
    words = []
    for value in found:
        text = f"{float(value):g} is {fixed.from_fraction(value):#x}ULL"
        if draws and 0 < value < 1:
            text += f"; a draw below {float(value):g} is a random word < {-(-value.numerator * 2**32 // value.denominator)}u"
        words.append(text)
    if words:
        yield "Numbers: " + ". ".join(words) + "."


def compile_with_model(
    opened: AppnetInput,
    rules: Compiled,
    toolchain: Toolchain,
    options: ModelOptions,
    *,
    limits: Limits | None = None,
    timed: bool = True,
    optimized: bool = True,
    progress: Progress = lambda text: None,
) -> ModelCompiled:
    """Candidates for an element, judged against the rule-based result. InputError `no-model-client`, `no-transcripts`."""
    prompt = said(compile_task(opened, rules, toolchain), options)
    model = model_of(options)
    with sandbox(toolchain, ("-fno-builtin",)) as box:
        gate = AppnetGate(opened, rules, box, toolchain.level, limits, timed, optimized)
        return ModelCompiled(rules, asked(prompt, model, gate, options, progress))


def model_compile_report(found: ModelCompiled, options: ModelOptions) -> Report:
    """The envelope of what is written, with the rounds and the sizes of both."""
    report = compile_report(found.chosen)
    instead = "the rule-based result stands"
    details = {
        "model": {
            **asked_json(found.proposed, options),
            "written": "model" if found.chosen is not found.rules else "rules",
            "compared": [dict(zip(_COLUMNS, row, strict=True)) for row in _rows(found)],
        }
    }
    return replace(
        report,
        diagnostics=(*report.diagnostics, *warnings(found.proposed, options, instead)),
        details={**report.details, **details},
    )


_COLUMNS = ("", "C lines", "insns", "JITed insns", "ns a run", "floor")


def _rows(found: ModelCompiled) -> list[list[object]]:
    rows = []
    for label, item in (("rules", found.rules), ("model", found.candidate)):
        if item is None:
            continue
        if item.plain:
            rows.append(_row(f"{label}, as clang makes it", item, item.plain))
            label = f"{label}, optimized"
        rows.append(_row(label, item, item.programs))
    return rows


def _row(label: str, item: Compiled, programs: tuple[ProgramReport, ...]) -> list[object]:
    steps = [program for program in programs if program.name in item.generated.steps.values()]
    return [label, item.generated.line_count, *_totals(steps)]


def _totals(programs: Sequence[ProgramReport]) -> list[int | None]:
    """What several programs have together, in the order of the columns."""

    def total(name: str) -> int | None:
        values = [getattr(program, name) for program in programs]
        return None if None in values else round(sum(values))

    return [total(name) for name in ("insns", "jited_insns", "run_ns", "floor_ns")]


def model_compile_lines(found: ModelCompiled, options: ModelOptions, concise: bool = False) -> Iterator[str]:
    """What the model was good for, and what is written."""
    yield from asked_lines(found.proposed, options, concise)
    if found.candidate is not None:
        if not concise:
            yield from (f"{'':<12}{line}" for line in table(_rows(found), _COLUMNS))
        ours, theirs = steps_insns(found.rules), steps_insns(found.candidate)
        better = found.chosen is not found.rules
        yield f"chosen      {'the model' if better else 'rules'}: {theirs} insns by the model, {ours} by rules" + (
            "" if better else " (no smaller, so the rule-based one)"
        )


# --- optimize ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ModelOptimized:
    """What optimizing made without the model, and what it proposed."""

    rules: Optimized
    proposed: Proposed[Better]
    source: str = ""

    @property
    def candidate(self) -> Better | None:
        best = self.proposed.best
        return best.judged.product if best is not None and isinstance(best.judged, Passed) and best.judged.enough else None

    @property
    def chosen(self) -> Optimized:
        return self.candidate.done if self.candidate is not None else self.rules


def source_of(path: str, toolchain: Toolchain) -> str:
    """The C of a file. InputError `no-source` where there is none to rewrite."""
    if path.endswith(".appnet"):
        opened = open_input(path, toolchain)
        assert isinstance(opened, AppnetInput)
        text = generate_c(opened, place_of(opened, toolchain)).c_text
        return "\n".join(line for line in text.split("\n") if not line.startswith("#line"))
    if not path.endswith(".c"):
        message = f"{path} is no source, and a model rewrites C"
        raise InputError(Diagnostic("no-source", message, help="give the .bpf.c or .appnet that it is made from"))
    return Path(path).read_text(encoding="utf-8", errors="replace")


def optimize_task(path: str, toolchain: Toolchain) -> Task:
    """A file's C as a task."""
    return Task("optimize", Path(path).name, source_of(path, toolchain), source_language="c")


def optimize_with_model(
    path: str,
    data: bytes,
    rules: Optimized,
    toolchain: Toolchain,
    settings: Settings,
    options: ModelOptions,
    progress: Progress = lambda text: None,
) -> ModelOptimized:
    """Candidates for smaller C, judged against `data`, the object as it was, and `rules`, what optimizing made of that."""
    prompt = said(optimize_task(path, toolchain), options)
    model = model_of(options)
    name = Path(path).name if path.endswith(".c") else f"{Path(path).stem}.bpf.c"
    beside = str(Path(path).resolve().parent)
    flags = ("-fno-builtin",) if path.endswith(".appnet") else (f"-iquote{beside}",)
    with sandbox(toolchain, flags, (beside,) if path.endswith(".c") else ()) as box:
        gate = CodeGate(name, data, rules, box, settings, headers=includes(prompt.task.source))
        return ModelOptimized(rules, asked(prompt, model, gate, options, progress), prompt.task.source)


def model_optimize_report(found: ModelOptimized, settings: Settings, options: ModelOptions) -> Report:
    """The envelope of what is written, with the rounds."""
    report = optimize_report(found.chosen, settings)
    instead = "what optimizing made without it stands"
    details = {**asked_json(found.proposed, options), "written": "model" if found.candidate else "rules"}
    return replace(
        report,
        diagnostics=(*report.diagnostics, *warnings(found.proposed, options, instead)),
        details={**report.details, "model": details},
    )


def model_optimize_lines(found: ModelOptimized, options: ModelOptions, concise: bool = False) -> Iterator[str]:
    """What the model was good for, and what is written."""
    yield from asked_lines(found.proposed, options, concise)
    names = [item.before.name for item in found.rules.programs]
    before = optimized_insns(found.rules, names)
    if found.candidate is not None:
        after = optimized_insns(found.candidate.done, names)
        if not concise:
            yield from (f"{'':<12}{line}" for line in table(_optimized_rows(found), _COLUMNS))
        yield f"chosen      the model: {after} insns, {before} without it; proved equal to the program as it was"
    else:
        yield f"chosen      what optimizing made without the model: {before} insns"


def _optimized_rows(found: ModelOptimized) -> list[list[object]]:
    """The program as it was and the candidate, each as clang makes it and optimized."""
    assert found.candidate is not None
    rows: list[list[object]] = []
    for label, lines, done in (
        ("as it was", code_lines(found.source), found.rules),
        ("model", code_lines(found.candidate.text), found.candidate.done),
    ):
        before, after = [item.before for item in done.programs], [item.after for item in done.programs]
        rows.append([f"{label}, as clang makes it", lines, *_totals(before)])
        rows.append([f"{label}, optimized", lines, *_totals(after)])
    return rows


def code_lines(text: str) -> int:
    """Lines of C that are neither blank nor a comment of their own."""
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith(("//", "#line")))
