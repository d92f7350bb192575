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
from bpfsmith.repair.statement import Function
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
    """The largest local variable, when the stack is too small; where the frames of several functions are, that of a callee."""
    source = case.source
    if source is None or (found := locals.largest(source)) is None:
        return Story(Place(case.function_span, "the locals of this do not fit"))
    others: tuple[Place, ...] = ()
    if "combined" in match[0]:
        inner = [item for item in locals.locals_of(source.text) if item.size >= _LARGE and _is_callee(source.text, item.line)]
        callee_local = max(inner, key=lambda item: item.size, default=None)
        if callee_local is not None and callee_local != found:
            others = (Place(found.span(source.path), f"this takes {found.size} bytes of its caller's"),)
            found = callee_local
    return Story(Place(found.span(source.path), f"this alone takes about {found.size} bytes of the stack"), others)


_LARGE = 64


def _is_callee(text: str, number: int) -> bool:
    """Does a line lie in a function that is no program of its own?"""
    function = Function(text, number)
    return "SEC(" not in "\n".join(function.lines[function.top - 1 : function.first])


def sleeps(case: Case, match: Match) -> Story:
    """A call that may sleep: the section, where that has a form whose programs may; else the call."""
    at, section = last_span(case), ctext.section_line(case)
    kind = case.program.section.split("/")[0]
    if section is not None and "non-sleepable prog" in match[0] and kind in _MAY_SLEEP:
        changed = case.program.section.replace(kind, f"{kind}.s", 1)
        called = Place(at, f"{callee(case.trace.last)} may sleep")
        return Story(Place(section, "programs of this section may not sleep"), (called,), help=f'write `SEC("{changed}")`')
    return Story(Place(at, "this may sleep"), names={"name": case.expression(at) or "it"})


def read_only(case: Case, match: Match) -> Story:
    """A write into what is declared to be read only: the flag of the map, or the `const` of the variable."""
    at, last = last_span(case), case.trace.last
    write = Place(at, "this writes into it")
    names = [held.facts.get("map", "") for held in (last.before.values() if last else ()) if held.kind == "map_value"]
    for name in names:
        definition = ctext.find_line(case, rf"\b{re.escape(name)}\b.*SEC\(\"\.?maps") if name else None
        for number in range(definition.line, max(definition.line - 12, 0), -1) if definition else ():
            line = ctext.lines(case, definition)[number - 1]
            if definition and (flag := re.search(r"BPF_F_RDONLY_PROG", line)):
                where = Span(definition.path, number, flag.start() + 1, number, flag.end() + 1)
                hint = "leave out BPF_F_RDONLY_PROG, or keep what programs write in another map"
                return Story(Place(where, f"programs may only read `{name}`"), (write,), (), {"name": name}, hint)
    return Story(write)


def object_used(case: Case, match: Match) -> Story:
    """An object that programs of this type may not have in their maps: the first call about it, else the program."""
    what = match["what"].removeprefix("bpf_")
    begin = case.function_span
    section = ctext.section_line(case) or begin
    told = Place(section, "programs of this type may not")
    if begin is None:
        return Story(told)
    first, last = ctext.function_range(case, begin)
    for number in range(first, last + 1):
        if call := re.search(rf"\bbpf_{re.escape(what)}\w*\s*\(", ctext.lines(case, begin)[number - 1]):
            where = Span(begin.path, number, call.start() + 1, number, call.end())
            return Story(Place(where, f"{match['what']} is used here"), (told,))
    return Story(replace(told, text="it uses such a map"))


def global_function(case: Case, match: Match) -> Story:
    """A global function that is checked by itself: its definition."""
    at = last_span(case)
    named = re.search(
        r"func#\d+ \('(\w+)'\)|[Gg]lobal function (\w+)\(|func '(\w+)'| in (\w+)\(\) is not", " ".join(case.words)
    )
    name = next((group for group in named.groups() if group), "") if named else ""
    where = ctext.find_line(case, rf"^(?!\s|static|extern)[\w\s*()]*\b{name}\s*\([^;]*$") if name else None
    if where is None:
        return Story(Place(at, "global functions are checked without their callers"))
    told = Place(where, f"`{name}` is global: it is checked without its callers")
    return Story(told, (Place(at, "it is called here"),), (), {"name": name})


_MAY_SLEEP = frozenset("uprobe uretprobe fentry fexit fmod_ret lsm iter".split())
"""Sections that exist with `.s`, too (libbpf's section_defs)."""


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
