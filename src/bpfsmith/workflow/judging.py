"""The gate for candidates that a model wrote: screen, compile confined, compare the object, load, prove. What it refuses it
explains, in a line for a person and in a compact form for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bpfsmith.appnet.correspond import layout_of, with_state
from bpfsmith.appnet.layout import Layout, state_bytes
from bpfsmith.diagnostic import Diagnostic, InputError, ToolError
from bpfsmith.execution import Counterexample, MapContents
from bpfsmith.gate.budget import TimeUp, at_most
from bpfsmith.gate.load import insn_count, load_report
from bpfsmith.gate.prove import prove_equal
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.optimize.admit import Optimized, Settings, optimize
from bpfsmith.propose.screen import screened
from bpfsmith.propose.task import Passed, Refused, Stage
from bpfsmith.repair.diagnose import diagnose, diagnostic
from bpfsmith.report import ProgramReport
from bpfsmith.semantics.equiv import CLOCK, PACKET
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.source import SourceText
from bpfsmith.workflow.compiling import Compiled, finished, proved
from bpfsmith.workflow.describe import FLAT_KEY, Vocabulary, counterexample_text
from bpfsmith.workflow.inputs import AppnetInput, can_bpf_here
from bpfsmith.workflow.parting import Trace, trace
from bpfsmith.workflow.sandbox import Sandbox

PROOF_SECONDS = 20
"""For the proof of one candidate. A right one is proved in a fraction of that, or by changing how it is written."""

RANDOM_RUNS = 2_000
SHOWN_ERRORS, SHOWN_LINES = 4, 10


@dataclass(frozen=True, slots=True)
class Expected:
    """What the object of a candidate has to be: the sections of its programs by name, and what else an object says. `own` is
    what it may have of its own: variables, in data sections."""

    sections: Mapping[str, str]
    license: str
    maps: Mapping[str, MapSpec]
    externs: frozenset[str]
    variables: Mapping[str, tuple[str, int]]  # name: section ("": any) and size
    optional: bool = False  # may variables be missing?

    @classmethod
    def of(cls, obj: Object, variables: bool) -> Expected:
        """That of an object; with `variables` they have to be where they were, else only as large, where they are at all."""
        return cls(
            {program.name: program.section for program in obj.programs},
            obj.license,
            {spec.name: spec for spec in obj.maps if spec.initial is None},
            frozenset(obj.externs),
            {item.name: (item.section if variables else "", item.size) for item in obj.variables},
            not variables,
        )


@dataclass(frozen=True, slots=True)
class Bytecode:
    """What clang made of a candidate that has the right shape."""

    data: bytes
    obj: Object
    source: SourceText


FILE = "candidate.bpf.c"
"""What messages call a candidate: no name that a file of the user could have, whose lines would be taken for the
candidate's."""


def compiled(
    text: str,
    box: Sandbox,
    expected: Expected,
    headers: frozenset[str] = frozenset(),
    *,
    open_ended: bool = False,
) -> Bytecode | Refused:
    """The first half of the gate: everything before the meaning is asked about. `headers` may be included beside the usual;
    `open_ended` leaves names and maps to the candidate: any program in a section of `expected` will do."""
    found = screened(text, box.compiler, expected.sections.values(), box.flags, headers)
    if found:
        told = "\n".join(str(item) for item in found[:SHOWN_ERRORS])
        return Refused(Stage.SCREEN, str(found[0]), f"Your C holds what is not allowed:\n{told}")
    try:
        data = box.compile(text, FILE)
    except InputError as error:
        return _not_compiled(text, error.diagnostics)
    try:
        obj = read_object(data)
    except ToolError as error:
        return _malformed(error.diagnostics[0].message)
    wrong = _wrong_start(obj) if open_ended else _wrong_object(obj, expected)
    return _malformed(wrong) if wrong else Bytecode(data, obj, SourceText(FILE, text))


def _not_compiled(text: str, diagnostics: Sequence[Diagnostic]) -> Refused:
    lines = text.splitlines()
    told = []
    for item in diagnostics[:SHOWN_ERRORS]:
        at = item.primary.span.line if item.primary else 0
        quoted = f"\n    {lines[at - 1].strip()}" if 0 < at <= len(lines) else ""
        told.append(f"line {at}: {item.message}{quoted}" if at else "; ".join((item.message, *item.notes[:2])))
    return Refused(Stage.COMPILE, told[0].partition("\n")[0], "clang does not compile it:\n" + "\n".join(told))


def _malformed(what: str) -> Refused:
    return Refused(Stage.OBJECT, what, f"The object is not what was asked for: {what}.")


def _wrong_object(obj: Object, expected: Expected) -> str:
    """What an object has that it should not have, or lacks, in a sentence. Only what is compared here is ever written out: a
    program beside those that are proved would be a way round the proof."""
    for name, problems in obj.problems.items():
        return f"{name}: {problems[0].message}"
    found = {program.name: program.section for program in obj.programs}
    for name, section in expected.sections.items():
        if found.get(name) != section:
            has = f"it is in {found[name]}" if name in found else f"there are: {', '.join(found) or 'none'}"
            return f'the program {name} in the section "{section}" is missing ({has})'
    for name in found:
        if name not in expected.sections:
            return f"the program {name} was not asked for"
    if obj.license != expected.license:
        return f'the license is "{obj.license}" and has to be "{expected.license}"'
    for extern in obj.externs:
        if extern not in expected.externs:
            return f"the extern {extern} was not asked for"
    if obj.struct_ops:
        return "struct_ops were not asked for"
    maps = {spec.name: spec for spec in obj.maps if spec.initial is None}
    for name, spec in expected.maps.items():
        if name not in maps:
            return f"the map {name} is missing"
        if _shape(maps[name]) != _shape(spec):
            return f"the map {name} is not defined as it was"
    for name in maps:
        if name not in expected.maps:
            return f"the map {name} was not asked for"
    variables = {item.name: (item.section, item.size) for item in obj.variables}
    for variable, (section, size) in expected.variables.items():
        if expected.optional and variable not in variables:
            continue
        found_in, found_size = variables.get(variable, ("", 0))
        if found_size != size or (section and section != found_in):
            where = f" in {section}" if section else ""
            return f"the variable {variable} is not as it was: {size} bytes{where}"
    return ""


def _wrong_start(obj: Object) -> str:
    """What an object that is compared with nothing must have, or must not."""
    for name, problems in obj.problems.items():
        return f"{name}: {problems[0].message}"
    if not obj.programs:
        return "there is no program: a function needs SEC(..)"
    if obj.license != "GPL":
        return f'the license is "{obj.license}" and has to be "GPL"'
    if obj.externs or obj.struct_ops:
        return "externs and struct_ops were not asked for"
    pinned = [spec.name for spec in obj.maps if spec.pinning]
    return f"the map {pinned[0]} is pinned: others could change it" if pinned else ""


def _shape(spec: MapSpec) -> MapSpec:
    """A map without what numbers in the object's types say."""
    inner = _shape(spec.inner) if spec.inner else None
    return replace(spec, key_btf_id=0, value_btf_id=0, inner=inner)


def loaded(code: Bytecode, names: Sequence[str], before: str | None = None) -> tuple[ProgramReport, ...] | Refused:
    """The verifier's verdict on these programs; none where bpf(2) does not work."""
    if not can_bpf_here():
        return ()
    reports = []
    for name in names:
        program = code.obj.program(name)
        try:
            report, rejected = load_report(program, code.obj, timed=False)
        except ToolError as error:
            return _malformed(error.diagnostics[0].message)
        if rejected is not None:
            said = diagnostic(diagnose(program, rejected, code.obj, code.source.text))
            return Refused(Stage.VERIFIER, _line_words(said), _rejection(said))
        reports.append(report)
    return tuple(reports)


def _line_words(said: Diagnostic) -> str:
    at = f"line {said.primary.span.line}: " if said.primary else ""
    return f"{at}{said.message}"


def _rejection(said: Diagnostic) -> str:
    """A rejection for the model: the line of its C, the kernel's words, what to do."""
    lines = ["The kernel's verifier rejects it:", _line_words(said)]
    for label in (said.primary, *said.others):
        text = said.source.line(label.span.line) if label and said.source else None
        if label and text:
            lines.append(f"    line {label.span.line}: {text.strip()}" + (f"   <- {label.text}" if label.text else ""))
    lines += said.notes[:3]
    return "\n".join([*lines, *([f"To do: {said.help}"] if said.help else [])])


def weaker(verdict: Equal, allowed: Sequence[str]) -> str:
    """An assumption that a proof needs and the one of the original does not: a weaker guarantee. "" where there is none.

    What a packet or the clock is like is no choice of a candidate; neither is a share of draws that is the very same.
    """
    for text in verdict.assumptions:
        if text not in allowed and text not in (PACKET, CLOCK) and not text.endswith("the probabilities differ by 0"):
            return text
    return ""


def _unequal(verdict: Verdict, allowed: Sequence[str], words: Vocabulary, traces: Sequence[str]) -> Refused | None:
    """Why a verdict is no proof, or no proof of as much as there was; None for one that is."""
    match verdict:
        case Equal():
            lost = weaker(verdict, allowed)
            if not lost:
                return None
            told = f"It is equal only if this is assumed, which the original needs not: {lost}."
            return Refused(Stage.EQUIVALENCE, f"proved only with: {lost}", told)
        case Different(counterexample=example):
            shown = counterexample_text(replace(example, notes=()), words)
            told = "\n".join(["It is not equal. Here is an input on which it differs:", *shown, *traces])
            return Refused(Stage.EQUIVALENCE, _difference(example, words), told)
        case Unknown(gap=gap, detail=detail):
            told = f"It could not be proved equal ({gap}): {detail}. Write it so that it is closer to what was asked for."
            return Refused(Stage.EQUIVALENCE, f"not proved ({gap}): {detail}", told)


def _difference(example: Counterexample, words: Vocabulary) -> str:
    return counterexample_text(replace(example, notes=()), words)[0]


# --- AppNet -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AppnetGate:
    """Judges C for an element; `rules` is the rule-based result, whose guarantees are the least that is accepted."""

    opened: AppnetInput
    rules: Compiled
    box: Sandbox
    level: int
    limits: Limits | None = None
    timed: bool = True
    optimized: bool = True

    def __call__(self, text: str) -> Refused | Passed[Compiled]:
        code, rules = self.plain(text), self.rules
        if isinstance(code, Refused):
            return code
        generated = replace(rules.generated, c_text=text)
        product = finished(
            self.opened,
            generated,
            code.data,
            rules.placements,
            self.level,
            self.limits,
            timed=self.timed,
            optimized=self.optimized,
        )
        allowed = _assumptions(rules.verdicts)
        kept = all(isinstance(item, Equal) and not weaker(item, allowed) for item in product.verdicts.values())
        if product.rejected is not None or not kept:
            return Refused(
                Stage.EQUIVALENCE, "its optimized form is not proved", "It could not be proved equal once optimized."
            )
        size = steps_insns(product)
        return Passed(product, size, True, f"proved: {size} insns")

    def plain(self, text: str) -> Bytecode | Refused:
        """What clang makes of the text, if that is proved."""
        code = compiled(text, self.box, Expected.of(self.rules.obj, variables=False))
        if isinstance(code, Refused):
            return code
        generated = replace(self.rules.generated, c_text=text)
        reports = loaded(code, list(generated.functions.values()))
        if isinstance(reports, Refused):
            return reports
        try:
            with at_most(PROOF_SECONDS):
                verdicts = proved(self.opened.element, generated, code.obj, self.limits)
        except TimeUp:
            verdicts = {generated.function: Unknown("time", f"{PROOF_SECONDS} s were not enough")}
        for function, verdict in verdicts.items():
            refused = self._unequal(code, function, verdict)
            if refused is not None:
                return refused
        return code

    def _unequal(self, code: Bytecode, function: str, verdict: Verdict) -> Refused | None:
        element = self.opened.element
        body = next(body for body, name in self.rules.generated.functions.items() if name == function)
        program = with_state(code.obj.program(function), code.obj, element)
        layout = layout_of(element, program, code.obj, {}, body)
        words = Vocabulary(program, element, None if isinstance(layout, str) else layout)
        traces: list[str] = []
        if isinstance(verdict, Different) and isinstance(layout, Layout):
            traces = self._traces(program, code, layout, body, verdict.counterexample)
        return _unequal(verdict, _assumptions(self.rules.verdicts), words, traces)

    def _traces(self, program: Program, code: Bytecode, layout: Layout, body: str, example: Counterexample) -> list[str]:
        """The lines of the AppNet program that the input takes, and those of the candidate."""
        element, rules = self.opened.element, self.rules
        reference = with_state(rules.obj.program(rules.generated.functions[body]), rules.obj, element)
        places = layout_of(element, reference, rules.obj, {}, body)
        if isinstance(places, str):
            return []
        given = replace(example.input, maps=_moved(example.input.maps, layout, places, self.opened))
        first = trace(reference, rules.obj, given, "reference")
        second = trace(program, code.obj, example.input, "candidate", code.source)
        return [*_ran("the AppNet program runs", first, ".appnet:"), *_ran("your C runs", second, f"{FILE}:")]


def _moved(maps: Mapping[str, MapContents], source: Layout, target: Layout, opened: AppnetInput) -> dict[str, MapContents]:
    """State as one object keeps it, put where another does."""
    specs = {spec.name: spec for spec in target.specs}
    out = {
        target.maps[name].name: maps[spec.name]
        for name, spec in source.maps.items()
        if name in target.maps and spec.name in maps
    }
    flat: dict[str, bytearray] = {}
    for item in opened.element.state:
        if item.name not in source.scalars or item.name not in target.scalars:
            continue
        (section, offset), (to, at) = source.scalars[item.name], target.scalars[item.name]
        size = state_bytes(item)
        raw = maps.get(section, {}).get(FLAT_KEY, b"")[offset : offset + size]
        image = flat.setdefault(to, bytearray(specs[to].initial or bytes(specs[to].value_size)))
        image[at : at + len(raw)] = raw
    return {**out, **{section: {FLAT_KEY: bytes(image)} for section, image in flat.items()}}


def _ran(title: str, found: Trace, file: str) -> list[str]:
    """The lines of a run that are in the file: those of our own C between the user's are left out."""
    lines = [f"  {line.place}: {line.text}" for line in found.lines if file in line.place]
    if not lines:
        return []
    more = [f"  and {len(lines) - SHOWN_LINES} more"] if len(lines) > SHOWN_LINES else []
    return ["", title, *lines[:SHOWN_LINES], *more]


def _assumptions(verdicts: Mapping[str, Verdict]) -> list[str]:
    return [text for verdict in verdicts.values() if isinstance(verdict, Equal) for text in verdict.assumptions]


def steps_insns(compiled: Compiled) -> int:
    """Instructions of the programs that run for messages."""
    return sum(insn_count(compiled.obj.program(name)) for name in compiled.generated.steps.values())


# --- C ----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Better:
    """A candidate that is proved equal to the program as it was, and what optimizing made of it."""

    text: str
    clang: bytes
    done: Optimized
    verdicts: Mapping[str, Verdict]


@dataclass(frozen=True, slots=True)
class CodeGate:
    """Judges C that is to be smaller than `rules`, which optimizing made of the object `data`."""

    name: str
    data: bytes
    rules: Optimized
    box: Sandbox
    settings: Settings
    limits: Limits | None = None
    headers: frozenset[str] = frozenset()

    def __call__(self, text: str) -> Refused | Passed[Better]:
        found = self.plain(text)
        if isinstance(found, Refused):
            return found
        code, verdicts = found
        names = list(verdicts)
        done = optimize(code.data, self.name, self.settings)
        before, after = optimized_insns(self.rules, names), optimized_insns(done, names)
        product = Better(text, code.data, done, verdicts)
        if after < before:
            return Passed(product, after, True, f"proved: {after} insns, {before} without the model")
        plain = f"{sum(insn_count(program) for program in code.obj.programs)} instructions"
        told = (
            f"It is equal, but no smaller: clang makes {plain} of it, {after} after optimizing. "
            f"The program as it was has {before} after optimizing. Find something that saves more."
        )
        return Passed(product, after, False, f"proved, but no smaller: {after} insns, {before} without the model", told)

    def plain(self, text: str) -> tuple[Bytecode, Mapping[str, Verdict]] | Refused:
        """What clang makes of the text, and the proof of each program by its name, if all are proved."""
        original = read_object(self.data)
        code = compiled(text, self.box, Expected.of(original, variables=True), self.headers)
        if isinstance(code, Refused):
            return code
        names = [program.name for program in original.programs]
        reports = loaded(code, names)
        if isinstance(reports, Refused):
            return reports
        verdicts: dict[str, Verdict] = {}
        for name in names:
            refused = self._unequal(original, code, name, verdicts)
            if refused is not None:
                return refused
        return code, verdicts

    def _unequal(self, original: Object, code: Bytecode, name: str, verdicts: dict[str, Verdict]) -> Refused | None:
        first, second = original.program(name), code.obj.program(name)
        try:
            with at_most(PROOF_SECONDS):
                verdict = prove_equal(first, original, second, code.obj, limits=self.limits, random_runs=RANDOM_RUNS)
        except TimeUp:
            verdict = Unknown("time", f"{PROOF_SECONDS} s were not enough")
        same = prove_equal(first, original, first, original, replay=False)
        allowed = same.assumptions if isinstance(same, Equal) else ()
        verdicts[name] = verdict
        return _unequal(verdict, allowed, Vocabulary(second, obj=code.obj, reference=(first, original), source=code.source), ())


def optimized_insns(done: Optimized, names: Sequence[str]) -> int:
    """Instructions of an optimized object's programs."""
    obj = read_object(done.data)
    return sum(insn_count(obj.program(name)) for name in names)
