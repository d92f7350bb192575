"""`verify --profile`: the source lines that cost the verifier its budget."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bpfsmith.diagnostic import ToolError
from bpfsmith.isa.insn import slot_starts
from bpfsmith.kernel.maps import open_maps
from bpfsmith.kernel.profile import visits
from bpfsmith.repair.case import read_text, shown_path
from bpfsmith.workflow.subjects import Subject

MOST_LINES = 15


@dataclass(frozen=True, slots=True)
class Cost:
    """One source line: how often the verifier visited an insn of it, of how many visits in all."""

    path: str
    line: int
    text: str
    visits: int
    share: float

    def json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def costs(subject: Subject) -> list[Cost]:
    """The lines of a program, the dearest first; empty where it cannot be loaded at all."""
    try:
        with open_maps(subject.maps, obj=subject.opened.obj) as maps:
            counted = visits(subject.program, maps)
    except ToolError:
        return []
    linked = subject.program.linked()
    lines: Counter[tuple[str, int]] = Counter()
    for insn, slot in zip(linked, slot_starts(linked), strict=False):
        where = (shown_path(insn.span.path), insn.span.line) if insn.span else (subject.file, 0)
        lines[where] += counted.get(slot, 0)
    total = sum(lines.values()) or 1
    return [Cost(path, line, _text(path, line), count, count / total) for (path, line), count in lines.most_common() if count]


def _text(path: str, line: int) -> str:
    source = read_text(path)
    return (source.line(line) or "").strip() if source and line else ""


def profile_lines(name: str, found: list[Cost]) -> list[str]:
    """The dearest lines as a table."""
    total = sum(item.visits for item in found)
    out = [f"{name}: {total} visits of insns", f"{'visits':>9}  {'share':>6}  line"]
    for item in found[:MOST_LINES]:
        out.append(f"{item.visits:>9}  {item.share:>6.1%}  {item.path}:{item.line}  {item.text}")
    if len(found) > MOST_LINES:
        out.append(f"{'':>9}  {'':>6}  and {len(found) - MOST_LINES} more")
    return out
