"""AppNet to a proved object: lower, compile, prove the bytecode that will be loaded, ask the verifier, time it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.chain import chained
from bpfsmith.appnet.initial import initial_values
from bpfsmith.appnet.lower import Generated, lower
from bpfsmith.appnet.prove import prove
from bpfsmith.appnet.sharing import Sharing, sharing
from bpfsmith.diagnostic import Diagnostic, InputError, InternalError, Label, Severity, Unsupported
from bpfsmith.gate.load import insn_count, load_report
from bpfsmith.isa.disasm import assembly
from bpfsmith.kernel.load import Rejected
from bpfsmith.kernel.probe import Available, can_bpf
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.optimize.admit import Settings, optimize
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Equal, Unknown, Verdict
from bpfsmith.workflow.hooking import Placement, place
from bpfsmith.workflow.inputs import AppnetInput, BytecodeInput, Toolchain, open_input


@dataclass(frozen=True, slots=True)
class Compiled:
    """Everything that a compile found out. `verdicts` holds the proof of each program by its name."""

    element: core.Element
    generated: Generated
    object_bytes: bytes
    obj: Object
    verdicts: dict[str, Verdict]
    programs: tuple[ProgramReport, ...]
    rejected: Rejected | None
    diagnostics: tuple[Diagnostic, ...]
    plain: tuple[ProgramReport, ...] = ()  # what clang made, where the optimizer made something else of it
    placements: Mapping[str, Placement] = field(default_factory=dict)
    elsewhere: Outcome = Outcome.EQUAL  # what other kernels make of it, where they were asked

    @property
    def verdict(self) -> Verdict:
        """The worst of the programs' verdicts."""
        return max(
            self.verdicts.values(), key=lambda item: 0 if isinstance(item, Equal) else 1 if isinstance(item, Unknown) else 2
        )

    @property
    def outcome(self) -> Outcome:
        if self.rejected is not None:
            return Outcome.REJECTED
        match self.verdict:
            case Equal():
                return self.elsewhere
            case Unknown():
                return Outcome.UNKNOWN
            case _:
                return Outcome.DIFFERENT


def opened_appnet(paths: str | Sequence[str], toolchain: Toolchain) -> AppnetInput:
    """An AppNet program, or several as one: requests go through them in this order. InputError `unknown-file-type` for
    anything else."""
    found = []
    for path in [paths] if isinstance(paths, str) else paths:
        opened = open_input(path, toolchain)
        if not isinstance(opened, AppnetInput):
            help = "`bpfsmith verify` loads objects and C"
            raise InputError(Diagnostic("unknown-file-type", f"{path} is no AppNet program", help=help))
        found.append(opened)
    if len(found) == 1:
        return found[0]
    whole = chained([opened.element for opened in found])
    warnings = tuple(warning for opened in found for warning in opened.warnings)
    return AppnetInput(whole.path, whole, warnings)


def generate(opened: AppnetInput, placements: Mapping[str, Placement]) -> Generated:
    """The C of an element."""
    initial = initial_values(opened.element)
    _refuse_division(opened.element, in_kernel_init=initial is None)
    return lower(opened.element, initial, {body: item.target for body, item in placements.items()})


def place_of(opened: AppnetInput, toolchain: Toolchain) -> Mapping[str, Placement]:
    """Where the steps of an element run, as the options say."""
    return place(opened.element, toolchain.side, toolchain.hook)


def lowered(opened: AppnetInput, toolchain: Toolchain) -> BytecodeInput:
    """An element as the bytecode that `compile` would make of it, for commands that take any input."""
    placements = place_of(opened, toolchain)
    obj = read_object(toolchain.compile_generated(generate(opened, placements).c_text, f"{opened.element.name}.bpf.c"))
    return BytecodeInput(opened.path, obj.programs, obj)


def _refuse_division(element: core.Element, in_kernel_init: bool) -> None:
    """A step that divides by zero leaves the state as it was, and what a map helper did cannot be taken back."""
    folded = facts.with_constants(element)
    fills_map = any(isinstance(item, core.MapSet | core.MapDelete) for item in facts.statements(folded.init))
    bodies = [folded.init] if in_kernel_init and fills_map else []
    vecs = {item.name for item in folded.state if item.type.name == "Vec"}
    for body in map(folded.body, folded.steps):
        changed = facts.written(body)
        if (sharing(folded) is Sharing.MAP and changed) or changed & vecs or facts.fields_set(body):
            bodies.append(body)
    for expr in (expr for body in bodies for expr in facts.expressions(body)):
        if facts.may_divide_by_zero(expr):
            assert isinstance(expr, core.Binary)
            in_init = expr in facts.expressions(folded.init)
            where = "an init() that fills a Map" if in_init else "a step that uses a Map, a Vec or rewrites the message"
            raise Unsupported(
                Diagnostic(
                    "unsupported-division",
                    f"a division whose divisor may be zero, in {where}",
                    Label(expr.right.span, "zero is not excluded here"),
                    notes=(
                        "dividing by zero leaves the state as it was before, and what has been done here cannot be taken back",
                    ),
                    help="divide by a constant that is not zero",
                )
            )


def compile_appnet(
    opened: AppnetInput, toolchain: Toolchain, *, limits: Limits | None = None, timed: bool = True, optimized: bool = True
) -> Compiled:
    """Compiles, optimizes and proves an element; loads and times it where bpf(2) works."""
    placements = place_of(opened, toolchain)
    generated = generate(opened, placements)
    plain = toolchain.compile_generated(generated.c_text, f"{opened.element.name}.bpf.c")
    return finished(opened, generated, plain, placements, toolchain.level, limits, timed=timed, optimized=optimized)


def finished(
    opened: AppnetInput,
    generated: Generated,
    plain: bytes,
    placements: Mapping[str, Placement],
    level: int,
    limits: Limits | None,
    *,
    timed: bool,
    optimized: bool,
) -> Compiled:
    """What becomes of an element's C once clang has made the object `plain` of it, whoever wrote the C."""
    element = opened.element
    # Products and quotients of floats are proved by what both sides compute alike, which optimizing takes apart.
    optimized = optimized and not any(facts.long_arithmetic(body) for body in (element.req, element.resp, element.init))
    data = optimize(plain, opened.path, Settings(timed=False, cpu=level, patience=0, quick=True)).data if optimized else plain
    obj = read_object(data)
    verdicts = proved(element, generated, obj, limits)
    if data != plain and not all(isinstance(verdict, Equal) for verdict in verdicts.values()):
        # What clang made may be easier to prove.
        data, obj = plain, read_object(plain)
        verdicts = proved(element, generated, obj, limits)
    programs, rejected, notes = _load(generated, obj, timed)
    before = _load(generated, read_object(plain), False)[0] if data != plain else ()
    advice = (*opened.warnings, *_advice(element), *notes)
    return Compiled(element, generated, data, obj, verdicts, programs, rejected, advice, before, placements)


def proved(element: core.Element, generated: Generated, obj: Object, limits: Limits | None) -> dict[str, Verdict]:
    """The proof of each function that holds a body of the element, by the function's name."""
    out: dict[str, Verdict] = {}
    for body, function in generated.functions.items():
        out[function] = prove(element, obj.program(function), obj, body=body, limits=limits, counted=generated.counted)
    return out


def _load(
    generated: Generated, obj: Object, timed: bool
) -> tuple[tuple[ProgramReport, ...], Rejected | None, tuple[Diagnostic, ...]]:
    names = list(generated.functions.values())
    capability = can_bpf()
    if not isinstance(capability, Available):
        bare = tuple(ProgramReport(name, obj.program(name).section, insn_count(obj.program(name))) for name in names)
        return bare, None, (no_bpf_note(capability.obstacle),)
    out, rejected = [], None
    init = obj.program(generated.init_function) if generated.init_function else None
    for name in names:
        is_step = name in generated.steps.values()
        report, refusal = load_report(obj.program(name), obj, before=init if is_step else None, timed=timed and is_step)
        out.append(report)
        rejected = rejected or refusal
    return tuple(out), rejected, ()


def no_bpf_note(obstacle: object) -> Diagnostic:
    """What is left out where bpf(2) cannot be used."""
    return Diagnostic(
        "no-bpf",
        "compiled and proved, but not loaded, replayed or timed here",
        severity=Severity.WARNING,
        notes=(str(obstacle),),
        help="run as root on a Linux machine whose kernel permits bpf(2) to have the verifier's verdict and timings too",
    )


def _advice(element: core.Element) -> tuple[Diagnostic, ...]:
    """Divisions that may meet a zero: the step aborts there, and the author should know."""
    out = []
    folded = facts.with_constants(element)
    for expr in facts.expressions((*folded.req, *folded.resp)):
        if facts.may_divide_by_zero(expr):
            assert isinstance(expr, core.Binary)
            out.append(
                Diagnostic(
                    "possible-division-by-zero",
                    "the divisor may be zero",
                    Label(expr.right.span, "zero is not excluded here"),
                    Severity.WARNING,
                    notes=("a step that divides by zero aborts the RPC and leaves the state as it was",),
                    help="guard it: match the divisor against zero first, or divide by max(x, 1)",
                )
            )
    return tuple(out)


def must_be_proved(compiled: Compiled) -> None:
    """A generated program that differs from its source is a bug of ours."""
    if compiled.outcome is Outcome.DIFFERENT:
        raise InternalError(
            Diagnostic(
                "generator-mismatch",
                f"the code generated for {compiled.element.path} does not do what the program means",
                notes=(str(compiled.verdict),),
                help="this is a bug of bpfsmith; please report it with the program",
            )
        )


def emitted(compiled: Compiled, what: str) -> bytes:
    """The object, its C (`c`), or the assembly of its programs (`asm`), as bytes."""
    if what == "c":
        return compiled.generated.c_text.encode()
    if what == "asm":
        return "\n".join(assembly(program) for program in compiled.obj.programs).encode()
    return compiled.object_bytes


def compile_report(compiled: Compiled) -> Report:
    """The compile as the envelope that JSON prints."""
    report = Report(
        "compile",
        compiled.outcome,
        programs=compiled.programs,
        diagnostics=compiled.diagnostics,
        details={
            "appnet_lines": compiled.element.line_count,
            "c_lines": compiled.generated.line_count,
            "sharing": str(compiled.generated.sharing),
            "hooks": {
                body: {"section": item.target.section, "reason": item.reason, "rejected": dict(item.rejected)}
                for body, item in compiled.placements.items()
            },
            "before_optimization": [program.json() for program in compiled.plain],
        },
    )
    match compiled.verdict:
        case Unknown(gap=gap, detail=detail):
            return replace(report, unknown=f"{gap}: {detail}")
        case Equal():
            equal = {name: verdict for name, verdict in compiled.verdicts.items() if isinstance(verdict, Equal)}
            assumptions = tuple(dict.fromkeys(item for verdict in equal.values() for item in verdict.assumptions))
            evidence = tuple(
                f"{name}: {item}" if len(equal) > 1 else item for name, verdict in equal.items() for item in verdict.evidence
            )
            return replace(report, assumptions=assumptions, evidence=evidence)
        case _:
            return report
