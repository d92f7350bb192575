"""Locators of what is about the program as a whole: its definition, license, maps, types, loops, local variables."""

from __future__ import annotations

import re
from dataclasses import replace

from bpfsmith.isa.insn import slot_starts
from bpfsmith.objfile.core_relo import path_of
from bpfsmith.repair import ctext, locals
from bpfsmith.repair.case import Case
from bpfsmith.repair.kind import Locator, Place, Story
from bpfsmith.repair.locate import Match, callee, last_span
from bpfsmith.source import Span


def function(text: str) -> Locator:
    """The program's own definition."""

    def locate(case: Case, match: Match) -> Story:
        at = ctext.section_line(case) or case.function_span
        return Story(Place(at, text), names={"section": case.program.section})

    return locate


def license_line(case: Case, match: Match) -> Story:
    """The line that states the license, with the call that needs another."""
    at = ctext.find_line(case, r"SEC\(\s*\"license\"\s*\)|section\(\s*\"license\"", f'"{case.program.license}"')
    call = Place(last_span(case), "this call needs a GPL-compatible license")
    if at is None:
        return Story(
            replace(call, text="needs a GPL-compatible license, and the file states none"), names={"license": "no license"}
        )
    return Story(Place(at, f'the license is "{case.program.license}"'), (call,), names={"license": case.program.license})


def map_definition(case: Case, match: Match) -> Story:
    """A map of the wrong type for a call: its definition."""
    last = case.trace.last
    kinds = [r for n, r in (last.before.items() if last else ()) if r.kind == "map_ptr"]
    name = kinds[-1].facts.get("map", "") if kinds else ""
    name = name or ctext.first_map_argument(case, last_span(case))
    at = ctext.find_line(case, rf"\b{re.escape(name)}\b.*SEC\(\"\.?maps") if name else None
    here = Place(last_span(case), f"{callee(last)} is given it here")
    names = {"map": name or "the map", "call": callee(last)}
    kind = next((s.type for s in case.program.maps if s.name[:15] == name[:15]), "") if name else ""
    if at is None:
        return Story(here, names=names)
    return Story(Place(ctext.map_type_line(case, at) or at, f"`{name}` is a {kind}"), (here,), names=names)


def loop(case: Case, match: Match) -> Story:
    """The loop that does not end: the head of the loop around the most visited lines."""
    hot = hottest(case)
    at = case.span(hot[0][0]) if hot else last_span(case)
    head = ctext.loop_head(case, at)
    facts = tuple(f"{count} visits: {_where(case.span(slot))}" for slot, count in hot[:3]) if len(case.visits) > 1000 else ()
    told = "this loop" if head else "most of the steps are here"
    hint = ""
    if head is not None and "jumps" in match[0]:
        hint = "bound its rounds by a constant (`for (int i = 0; i < 32; i++)`), or walk it with bpf_loop() or `bpf_for`"
    return Story(Place(head or at, told), (), facts, {"name": case.line_text(head or at).strip()}, hint)


def _where(span: Span | None) -> str:
    return f"{span.path}:{span.line}" if span else "an insn without a line"


def hottest(case: Case) -> list[tuple[int, int]]:
    """One slot of each source line and the visits of the line, the most visited first."""
    counts: dict[tuple[str, int], int] = {}
    slots: dict[tuple[str, int], int] = {}
    for visit in case.visits:
        span = case.span(visit)
        if span is not None:
            key = span.path, span.line
            counts[key] = counts.get(key, 0) + 1
            slots.setdefault(key, visit.slot)
    return [(slots[key], count) for key, count in sorted(counts.items(), key=lambda item: -item[1])]


def large_variable(case: Case, match: Match) -> Story:
    """The largest local variable, when the stack is too small."""
    found = locals.largest(case.source)
    if found is None or case.source is None:
        return Story(Place(case.function_span, "the locals of this do not fit"))
    return Story(Place(found.span(case.source.path), f"this alone takes about {found.size} bytes of the stack"))


def kernel_field(case: Case, match: Match) -> Story:
    """A field that the running kernel's type lacks: the line that reads it, by the names in the relocation."""
    at, last = last_span(case), case.trace.last
    path = _relocated(case, last.slot) if last is not None else None
    if path is None or at is None:
        return Story(Place(at, "this reads a field that this kernel does not have"), names={"field": "such a field"})
    kind, _, fields = path.partition(".")
    field = fields.split(".")[-1].split("[")[0]
    names = {"field": f"field `{field}`" if field else "such type", "type": kind}
    first, end = ctext.function_range(case, at)
    reads = re.compile(rf"(?:->|\.|,)\s*{re.escape(field or kind)}\b")
    for number in range(first, end + 1):
        found = reads.search(ctext.lines(case, at)[number - 1])
        if found and case.is_compiled(at.path, number):
            at = Span(at.path, number, found.start() + 1, number, found.end() + 1)
            break
    return Story(Place(at, f"this kernel's {kind} has none"), names=names)


def _relocated(case: Case, slot: int) -> str | None:
    """What the relocation of the insn at a slot is about: "task_struct.state"."""
    if case.obj is None or case.obj.btf is None:
        return None
    start = 0
    relos = case.obj.core_relos(case.program)
    for name, insns in ((case.program.name, case.program.insns), *((sub.name, sub.insns) for sub in case.program.subprograms)):
        for relo in relos.get(name, ()):
            if start + relo.insn_offset // 8 == slot:
                return path_of(relo, case.obj.btf)
        start += slot_starts(insns)[-1]
    return None
