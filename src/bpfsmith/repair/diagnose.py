"""A rejection as a diagnostic: where the change belongs, how it came to it, the kernel's words, and a change to the code."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bpfsmith.diagnostic import Diagnostic, Label
from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import Rejected
from bpfsmith.objfile.object import Object
from bpfsmith.repair.case import Case
from bpfsmith.repair.kind import Kind, Place, Story, recognise
from bpfsmith.repair.locate import last_span
from bpfsmith.repair.table import KINDS

_STATE_REGISTERS = re.compile(r"\br(\d+)\b")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a rejection is about; `kind` is None for one that the table lacks."""

    case: Case
    kind: Kind | None
    match: re.Match[str] | None
    story: Story


def diagnose(program: Program, rejected: Rejected, obj: Object | None = None, given: str | None = None) -> Diagnosis:
    """Recognises a rejection and finds the place in the source where the change belongs; `given` is its text, if no file."""
    case = Case(program, rejected, obj, given)
    found = recognise(case, KINDS)
    if found is None:
        return Diagnosis(case, None, None, Story(Place(last_span(case), "the verifier stops here")))
    kind, match = found
    story = kind.locate(case, match)
    if story.primary.span is None:
        story = replace(story, primary=Place(last_span(case), story.primary.text))
    return Diagnosis(case, kind, match, story)


def diagnostic(found: Diagnosis) -> Diagnostic:
    """The diagnosis in words. The kernel's are there unaltered, and the last insn with the registers that it uses."""
    case, kind, story = found.case, found.kind, found.story
    notes = tuple(f"verifier: {line}" for line in case.words) or (f"bpf(2) failed: {case.rejected.reason}",)
    if kind is None:
        message = f"the kernel's verifier rejects {case.program.name}: {case.rejected.reason}"
        label = story.primary.label()
        text = case.text(label.span.path) if label else None
        hint = "" if case.words else f"it was refused unread: does this kernel know programs of `{case.program.section}`?"
        return Diagnostic("verifier-rejected", message, label, notes=(*notes, *last_state(case)), help=hint, source=text)
    words = Words(_names(found))
    primary = story.primary.label()
    shown = Label(primary.span, words.fill(primary.text)) if primary else None
    others = tuple(label for place in story.others if (label := place.label()) and label.span != story.primary.span)
    return Diagnostic(
        kind.id,
        f"{case.program.name}: {words.fill(kind.title)}",
        shown,
        others=tuple(Label(label.span, words.fill(label.text)) for label in others),
        notes=(*notes, *last_state(case), *story.facts),
        help=story.help or words.fill(kind.help),
        source=case.text(shown.span.path) if shown else None,
    )


def last_state(case: Case) -> tuple[str, ...]:
    """The refused insn, and what was known of the registers in it."""
    last = case.trace.last
    if last is None:
        return ()
    names = [f"R{number}" for number in dict.fromkeys(_STATE_REGISTERS.findall(last.text))]
    if last.text.startswith("call "):
        names = [f"R{number}" for number in range(1, 6)]
    known = ", ".join(f"{name} = {last.before[name].text}" for name in names if name in last.before and last.before[name].text)
    return (f"at insn {last.slot}: {last.text}" + (f"   with {known}" if known else ""),)


def _names(found: Diagnosis) -> dict[str, str]:
    names = {"section": found.case.program.section, "what": "it", "want": "another type", "call": "the call", "name": "it"}
    names |= {name: value for name, value in (found.match.groupdict() if found.match else {}).items() if value}
    if names.get("off", "").lstrip("-").isdecimal() and names.get("size", "").lstrip("-").isdecimal():
        names["end"] = str(int(names["off"]) + int(names["size"]))
    return names | dict(found.story.names)


class Words(string.Formatter):
    """Fills templates; a name that nobody set reads as `..`."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._named = names

    def fill(self, template: str) -> str:
        return self.vformat(template, (), self._named)

    def get_value(self, key: int | str, args: object, kwargs: Mapping[str, str]) -> str:
        return self._named.get(str(key), "..")
