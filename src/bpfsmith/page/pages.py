"""The page of each command: its verdict, its numbers, and the programs that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bpfsmith.diagnostic import ToolError
from bpfsmith.isa.disasm import disassemble
from bpfsmith.isa.program import Program
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.optimize.admit import Optimized
from bpfsmith.page.graph import before_and_after, codes, differing, drawn
from bpfsmith.page.listing import Keys, bytecode_pane, generated_pane, source_pane, spanned_files
from bpfsmith.page.model import Bar, Chart, Findings, Graph, Graphs, Listings, Page, Pane, Section, Table
from bpfsmith.page.sections import counts, number, programs, proof, times, urgent
from bpfsmith.report import Outcome, Report
from bpfsmith.semantics.verdict import Different
from bpfsmith.workflow.checking import Checked
from bpfsmith.workflow.compiling import Compiled
from bpfsmith.workflow.frontends import Made
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.optimizing import slots
from bpfsmith.workflow.parting import trace
from bpfsmith.workflow.text import programs_of

MOST_LISTED = 6
"""Programs of one file whose instructions are shown."""

_VERDICTS: Mapping[Outcome, tuple[str, str]] = {
    Outcome.EQUAL: ("Proved equal", "good"),
    Outcome.DIFFERENT: ("Different", "bad"),
    Outcome.UNKNOWN: ("Unknown", "open"),
    Outcome.ACCEPTED: ("Accepted", "good"),
    Outcome.REJECTED: ("Rejected", "bad"),
    Outcome.DONE: ("Done", "good"),
    Outcome.PAYS: ("It pays", "good"),
    Outcome.DOES_NOT_PAY: ("Do not offload", "bad"),
}


def page(report: Report, title: str, headline: str, facts: Mapping[str, str], sections: Sequence[Section]) -> Page:
    """A page with the verdict of a report on top."""
    verdict, tone = _VERDICTS[report.verdict]
    return Page(title, verdict, tone, headline, report.command, facts, tuple(sections))


# --- check ------------------------------------------------------------------------------------------------------------
_CHECKED = {
    Outcome.EQUAL: "The candidate does what the reference does on every input that the assumptions admit.",
    Outcome.DIFFERENT: "There is an input on which they part; it is below.",
    Outcome.UNKNOWN: "Neither proved nor refuted.",
}


def check_page(report: Report, checked: Checked) -> Page:
    """Reference and candidate side by side, and what the proof found."""
    report = _with_trace(report, checked)
    keys, words = Keys(), checked.words
    panes: list[Pane] = []
    graphs: list[Graph] = []
    if words.element is not None:
        panes += sources((words.element.path,), keys, "reference")
    elif words.reference is not None:
        panes += sources(spanned_files(words.reference[0].linked())[:1], keys, "reference")
    panes += sources(spanned_files(words.program.linked())[:1], keys, "candidate")
    if words.reference is not None:
        first, second = words.reference[0], words.program
        gone, new = differing(_texts(first), _texts(second))
        panes += (
            bytecode_pane(f"{first.name}, reference", first.linked(), keys, _marks(gone, "removed")),
            bytecode_pane(f"{second.name}, candidate", second.linked(), keys, _marks(new, "added")),
        )
        graphs += (graph for pair in before_and_after(first, replace(second, name=first.name), keys) for graph in pair)
        graphs = [replace(item, title=_sides(item.title)) for item in graphs]
    else:
        panes.append(bytecode_pane(f"{words.program.name}, candidate", words.program.linked(), keys))
        graphs += _alone(words.program, keys)
    sections: list[Section] = [*urgent(report), Listings("Both programs", tuple(panes))]
    if graphs:
        sections.append(Graphs("Control flow", tuple(graphs)))
    sections += proof(report)
    facts = {
        "reference": checked.reference, "candidate": checked.candidate,
        "candidate's instructions": str(len(words.program.linked())),
    }  # fmt: skip
    title = f"{Path(checked.candidate).name} against {Path(checked.reference).name}"
    return page(report, title, _CHECKED[report.verdict], facts, sections)


def _sides(title: str) -> str:
    return title.replace(" before:", ", reference:").replace(" after:", ", candidate:")


def _with_trace(report: Report, checked: Checked) -> Report:
    """Where the reference is a meaning and runs no lines, the candidate's own lines at least."""
    if report.counterexample is None or report.counterexample.get("traces") or not isinstance(checked.verdict, Different):
        return report
    run = trace(checked.words.program, checked.words.obj, checked.verdict.counterexample.input)
    lines = [{"place": line.place, "text": line.text} for line in run.lines]
    traces = {"common_lines": len(lines), "reference": [], "candidate": lines}
    return replace(report, counterexample={**report.counterexample, "traces": traces})


# --- compile ----------------------------------------------------------------------------------------------------------
_COMPILED = {
    Outcome.EQUAL: "The bytecode means what the program says, on every packet and from every state.",
    Outcome.UNKNOWN: "The bytecode is neither proved nor refuted.",
    Outcome.REJECTED: "The kernel's verifier does not accept it.",
}


def compile_page(report: Report, compiled: Compiled, toolchain: Toolchain) -> Page:
    """The program as AppNet, C and bytecode; what the optimizer changed; sizes and times."""
    element, generated = compiled.element, compiled.generated
    name = f"{element.name}.bpf.c"
    keys = Keys()
    shown = [compiled.obj.program(item) for item in generated.functions.values()]
    spanned = spanned_files(insn for program in shown for insn in program.linked())
    own = [str(Path(element.path).resolve())] if Path(element.path).is_file() else []
    files = list(dict.fromkeys((*own, *(path for path in spanned if path.endswith(".appnet")))))
    lengths = {path: len(Path(path).read_text(encoding="utf-8", errors="replace").splitlines()) for path in files}
    c_pane = generated_pane("generated C", name, generated.c_text, lengths, keys)
    panes = [*sources(files, keys), c_pane, *(bytecode_pane(item.name, item.linked(), keys) for item in shown)]
    plain = {item.name: item for item in compiled.plain}
    pairs = [(item, plain.get(item.name)) for item in compiled.programs]
    sections: list[Section] = [
        *urgent(report),
        Listings("AppNet, C and bytecode", tuple(panes)),
        *_compiled_graphs(compiled, toolchain, name, keys),
        *proof(report),
        *times(pairs),
        *counts(pairs),
        *programs(compiled.programs, "What the kernel says"),
    ]
    main = compiled.programs[0]
    facts = {
        "AppNet": f"{element.line_count} lines",
        "C": f"{generated.line_count} lines",
        "instructions": str(main.insns),
        "verifier": f"{main.verdict or 'not asked'}" + (f", {main.processed_insns} processed" if main.processed_insns else ""),
        "a run": f"{number(main.run_ns)} ns, floor {number(main.floor_ns)} ns" if main.run_ns is not None else "not measured",
    }
    return page(report, Path(element.path).name, _COMPILED.get(report.verdict, ""), facts, sections)


def _compiled_graphs(compiled: Compiled, toolchain: Toolchain, name: str, keys: Keys) -> Iterator[Section]:
    before = {item.name: item.insns for item in compiled.plain}
    graphs: list[Graph] = []
    if before:  # the optimizer made something else of what clang made
        plain = read_object(toolchain.compile_generated(compiled.generated.c_text, name))
        for function in compiled.generated.functions.values():
            graphs += _pair_of(plain, compiled.obj, function, keys)
    if not graphs:
        for function in compiled.generated.functions.values():
            graphs += _alone(compiled.obj.program(function), keys)
    if graphs:
        yield Graphs("Control flow", tuple(graphs), "Before: what clang made. After: what was proved." if before else "")


def front_end_page(report: Report, done: Made) -> Page:
    """A text, its C and its bytecode, and the meaning that it was proved against."""
    keys = Keys()
    program = done.obj.programs[0]
    panes = (
        *sources((done.path,), keys),
        generated_pane("generated C", f"{done.name}.bpf.c", done.c_text, {}, keys),
        bytecode_pane(program.name, program.linked(), keys),
        bytecode_pane("the meaning, as plain instructions", done.reference.linked(), keys),
    )
    pairs = [(item, None) for item in report.programs]
    sections: list[Section] = [*urgent(report), Listings("Filter, C, bytecode and meaning", panes)]
    sections += (Graphs("Control flow", tuple(graphs)),) if (graphs := _alone(program, keys)) else ()
    sections += (*proof(report), *times(pairs), *programs(report.programs, "What the kernel says"))
    facts = {"instructions": str(len(program.linked())), "C": f"{done.c_text.count(chr(10))} lines"}
    return page(report, Path(done.path).name, _COMPILED.get(report.verdict, ""), facts, sections)


# --- optimize ---------------------------------------------------------------------------------------------------------
def optimize_page(report: Report, done: Optimized, path: str, data: bytes) -> Page:
    """Each program before and after, the steps that led there, sizes and times. `data` is the object as it was."""
    keys = Keys()
    before, after = read_object(data), read_object(done.data)
    sections: list[Section] = [*urgent(report), _slots_chart(done)]
    pairs = [(replace(item.after, floor_ns=item.after.floor_ns), item.before) for item in done.programs]
    sections += times(pairs)
    sections += (chart for chart in counts(pairs) if chart.unit != "slots")
    for item in done.programs[:MOST_LISTED]:
        name = item.before.name
        first, second = before.program(name), after.program(name)
        gone, new = differing(_texts(first), _texts(second))
        panes = [
            *sources(spanned_files(first.linked())[:1], keys),
            bytecode_pane(f"{name} before", first.linked(), keys, _marks(gone, "removed")),
            bytecode_pane(f"{name} after", second.linked(), keys, _marks(new, "added")),
        ]
        sections.append(Listings(f"{name}: source and bytecode", tuple(panes)))
        graphs = _pair_of(before, after, name, keys)
        if graphs:
            sections.append(Graphs(f"{name}: control flow", tuple(graphs)))
    steps = tuple(
        (item.before.name, step.rule, str(step.span or "-"), step.what) for item in done.programs for step in item.steps
    )
    if steps:
        sections.append(Table("Steps", ("program", "rule", "line", "what"), steps))
    sections += proof(report)
    saved = sum(first - second for first, second in map(slots, done.programs))
    total = sum(slots(item)[0] for item in done.programs)
    share = 100 * saved / (total or 1)
    headline = f"Every program does what it did, in {total - saved} slots instead of {total} ({share:.1f} % less)."
    facts = {
        "programs": str(len(done.programs)),
        "steps": str(len(steps)),
        "objective": str(report.details.get("objective", "")),
    }
    return page(report, Path(path).name, headline, facts, sections)


def _slots_chart(done: Optimized) -> Chart:
    bars = []
    for item in done.programs:
        first, second = slots(item)
        bars.append(Bar("before", first, str(first), group=item.before.name))
        bars.append(Bar("after", second, f"{second} ({100 * (second - first) / (first or 1):+.1f} %)", group=item.before.name))
    return Chart("Slots in the object", "slots", tuple(bars), "A slot is 8 bytes; subprograms are counted in.")


# --- verify -----------------------------------------------------------------------------------------------------------
def verify_page(report: Report, files: Sequence[str], toolchain: Toolchain) -> Page:
    """The kernel's verdicts, rejections at the user's line, and the programs."""
    repairs = report.details.get("repairs", ())
    profiles = report.details.get("profiles", {})
    sections: list[Section] = [*urgent(report)]
    if isinstance(repairs, list) and repairs:
        sections.append(
            Findings("Changes that the verifier accepts", tuple(("note", "repair", str(item["diff"])) for item in repairs))
        )
    sections += programs(report.programs)
    work = [item for item in report.programs if item.processed_insns]
    if work:
        top = sorted(work, key=lambda item: -(item.processed_insns or 0))[:25]
        bars = tuple(
            Bar(
                f"{item.name}{f' on {item.kernel}' if item.kernel else ''}",
                item.processed_insns or 0,
                number(item.processed_insns),
            )
            for item in top
        )
        sections.append(Chart("Instructions processed by the verifier", "instructions", bars))
    sections += times([(item, None) for item in report.programs])
    if isinstance(profiles, dict):
        sections += (_profile(name, rows) for name, rows in profiles.items())
    sections += _verified_listings(report, files, toolchain)
    refused = [item for item in report.programs if item.verdict not in ("accepted", None)]
    counted = f"Not accepted: {len(refused)} of {len(report.programs)}." if refused else "Every program is accepted."
    return page(report, ", ".join(Path(name).name for name in files[:4]), counted, {"files": str(len(files))}, sections)


def _profile(name: str, rows: Sequence[Mapping[str, Any]]) -> Chart:
    bars = tuple(
        Bar(f"{Path(row['path']).name}:{row['line']}", row["visits"], f"{row['visits']} ({row['share']:.0%})") for row in rows
    )
    return Chart(f"{name}: lines that cost the verifier most", "visits", bars)


def _verified_listings(report: Report, files: Sequence[str], toolchain: Toolchain) -> Iterator[Section]:
    blamed: dict[str, set[int]] = {}
    for item in report.diagnostics:
        if item.primary is not None:
            blamed.setdefault(str(Path(item.primary.span.path).resolve()), set()).add(item.primary.span.line)
    for name in files[:MOST_LISTED]:
        try:
            found = programs_of(name, toolchain)[:MOST_LISTED]
        except ToolError:  # it stands among the diagnostics
            continue
        keys = Keys()
        spanned = spanned_files(insn for program in found for insn in program.linked())[:2]
        panes = [*sources(spanned, keys, blamed=blamed), *(bytecode_pane(item.name, item.linked(), keys) for item in found)]
        yield Listings(f"{Path(name).name}: source and bytecode", tuple(panes))
        graphs = [graph for item in found[:2] for graph in _alone(item, keys)]
        if graphs:
            yield Graphs(f"{Path(name).name}: control flow", tuple(graphs))


# --- what they share --------------------------------------------------------------------------------------------------
def sources(paths: Sequence[str], keys: Keys, role: str = "", blamed: Mapping[str, set[int]] | None = None) -> Iterator[Pane]:
    """A pane for each file that can be read; `blamed` are lines by resolved path."""
    for path in paths:
        try:
            text = Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        lines = frozenset((blamed or {}).get(str(Path(path).resolve()), ()))
        yield source_pane(f"{Path(path).name}{f', {role}' if role else ''}", path, text, keys, lines)


def _texts(program: Program) -> list[str]:
    return [disassemble(insn) for insn in program.linked()]


def _marks(changed: Sequence[bool], word: str) -> list[str]:
    return [word if item else "" for item in changed]


def _pair_of(before: Object, after: Object, name: str, keys: Keys) -> list[Graph]:
    return [graph for pair in before_and_after(before.program(name), after.program(name), keys) for graph in pair]


def _alone(program: Program, keys: Keys) -> list[Graph]:
    """Every function of a program, nothing marked."""
    graphs = (drawn(code.name, code, [False] * len(code.rows), keys) for code in codes(program))
    return [graph for graph in graphs if graph is not None and len(graph.nodes) > 1]
