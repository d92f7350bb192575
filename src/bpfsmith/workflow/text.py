"""Results as lines for a terminal: what fits a screen, numbers with unit, baseline and floor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bpfsmith.appnet.sequences import EVIDENCE
from bpfsmith.appnet.targets import XDP
from bpfsmith.isa.disasm import listing
from bpfsmith.isa.encoding import encode
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import Program
from bpfsmith.render import visible
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.workflow.checking import Checked
from bpfsmith.workflow.compiling import Compiled, lowered
from bpfsmith.workflow.describe import Vocabulary, counterexample_text
from bpfsmith.workflow.hooking import placement_lines
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input, split_program


def compiled_lines(compiled: Compiled, concise: bool = False) -> Iterator[str]:
    """What a compile found: sizes, proof, verifier, time."""
    element, generated = compiled.element, compiled.generated
    main = compiled.programs[0]
    sizes = f"{element.line_count} lines of AppNet -> {generated.line_count} lines of C -> {main.insns} insns"
    yield f"{visible(element.name)}: {sizes}"
    shown = placement_lines(compiled.placements)
    if element.binding is not None or len(element.steps) > 1 or compiled.placements[element.steps[0]].target is not XDP:
        yield from (f"{'hooks' if index == 0 else '':<11} {line}" for index, line in enumerate(shown) if not concise)
    for name, verdict in compiled.verdicts.items():
        yield from verdict_lines(f"proof {name}" if len(compiled.verdicts) > 1 else "proof", verdict, None, concise)
    for program in compiled.programs:
        if program.verdict is not None:
            label = "verifier" if len(compiled.programs) == 1 else f"verifier {program.name}"
            yield f"{label:<11} {verifier_words(program)}"
    if main.xlated_slots is not None:
        yield f"{'size':<12}{size_words(main)}"
    if compiled.plain and compiled.plain[0].xlated_slots is not None:
        yield f"{'':<12}clang made {size_words(compiled.plain[0])}"
    if main.run_ns is not None:
        yield f"{'time':<12}{time_words(main)}"


def verdict_lines(label: str, verdict: Verdict, words: Vocabulary | None, concise: bool = False) -> Iterator[str]:
    """The verdict with its evidence, its assumptions or its counterexample."""
    match verdict:
        case Equal(assumptions=assumptions, evidence=evidence):
            yield f"{label:<11} equal: {_evidence_words([item for item in evidence if item != EVIDENCE])}"
            if EVIDENCE in evidence:
                yield f"{'':<12}{EVIDENCE}"
            if not concise:
                yield from (
                    f"{'':<12}{'assuming ' if index == 0 else '         '}{text}" for index, text in enumerate(assumptions)
                )
        case Different(counterexample=example):
            yield f"{label:<11} different"
            if words is not None and not concise:
                yield from (f"{'':<12}{line}".rstrip() for line in counterexample_text(example, words))
        case Unknown(gap=gap, detail=detail, evidence=evidence):
            yield f"{label:<11} unknown ({gap}): {detail}"
            if not concise:
                yield from (f"{'evidence' if index == 0 else '':<11} {text}" for index, text in enumerate(evidence))


def _evidence_words(evidence: Sequence[str]) -> str:
    counts: dict[str, int] = {}
    for item in evidence:
        how = item.rpartition(": ")[2]
        counts[how] = counts.get(how, 0) + 1
    return f"{len(evidence)} observables; " + ", ".join(f"{count} {how}" for how, count in counts.items())


def verifier_words(program: ProgramReport) -> str:
    if program.verdict != "accepted":
        return f"rejected: {program.reason}"
    return f"accepted: {program.processed_insns} insns processed, {program.states} states"


def size_words(program: ProgramReport) -> str:
    jited = f"{program.jited_bytes} bytes" if program.jited_bytes else "image withheld"
    native = f", {program.jited_insns} machine instructions" if program.jited_insns else ""
    return f"{program.insns} insns in the object, {program.xlated_slots} xlated slots, JITed to {jited}{native}"


def time_words(program: ProgramReport) -> str:
    assert program.run_ns is not None
    assert program.floor_ns is not None
    above = program.run_ns - program.floor_ns
    spread = f"spread {program.run_spread_ns:.0f}"
    return f"{program.run_ns:.0f} ns a run: {above:.0f} above the floor of {program.floor_ns:.0f}, an empty program ({spread})"


def check_lines(checked: Checked, concise: bool = False) -> Iterator[str]:
    yield f"{checked.candidate} against {checked.reference}"
    yield from verdict_lines("verdict", checked.verdict, checked.words, concise)


def listing_lines(programs: Sequence[Program], concise: bool = False) -> Iterator[str]:
    """The disassembly of programs, with the source line where it changes; concise leaves the source out."""
    for program in programs:
        yield f"{program.name} ({program.section})"
        before = None
        for slot, insn, text in listing(program.linked()):
            if not concise and insn.span is not None and (insn.span.path, insn.span.line) != before:
                before = insn.span.path, insn.span.line
                yield f"; {insn.span.path}:{insn.span.line}"
            yield f"{slot:4}: {text}"


def listing_report(programs: Sequence[Program]) -> Report:
    """The disassembly as the envelope that JSON prints, `listings` by program name."""

    def row(slot: int, insn: Insn, text: str) -> dict[str, object]:
        place = {"path": insn.span.path, "line": insn.span.line} if insn.span else {"path": None, "line": None}
        return {"slot": slot, "text": text, "bytes": encode((insn,)).hex(), **place}

    reports = tuple(ProgramReport(program.name, program.section, len(program.linked())) for program in programs)
    listings = {program.name: [row(*item) for item in listing(program.linked())] for program in programs}
    return Report("disasm", Outcome.DONE, programs=reports, details={"listings": listings})


def programs_of(path: str, toolchain: Toolchain) -> tuple[Program, ...]:
    """The programs of FILE, or the one of FILE:PROGRAM, an AppNet program compiled first."""
    file, wanted = split_program(path)
    opened = open_input(file, toolchain)
    if isinstance(opened, AppnetInput):
        opened = lowered(opened, toolchain)
    return (opened.only(wanted),) if wanted else opened.programs
