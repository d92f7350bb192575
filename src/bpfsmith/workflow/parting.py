"""Where two runs part: the source lines that both took, and the first that only one of them took.

Both programs run on the interpreter, on the counterexample's input. Two lines are the same when their text is, but for the
programs' names, so that a copy of a file is followed too; without line information the instructions stand for the lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bpfsmith.execution import RunInput, RunOutput
from bpfsmith.ir import ops
from bpfsmith.isa.disasm import disassemble
from bpfsmith.isa.program import Program
from bpfsmith.objfile.object import Object
from bpfsmith.semantics import concrete
from bpfsmith.semantics.concrete import Machine
from bpfsmith.semantics.concrete_memory import Pointer
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.source import SourceText
from bpfsmith.workflow.watching import Code, Place

TRACE_INSNS = 20_000
BEFORE, AFTER = 2, 5
"""How many lines are shown before the runs part, and of each run after it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a run came to: `place` is FILE:LINE, or the instruction's slot where nobody knows the line or its text."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """The lines of a run in their order. `ended` says why the interpreter could not go on, `output` what came out."""

    lines: tuple[Line, ...]
    output: RunOutput | None
    reads_packet: bool
    ended: str = ""


@dataclass(frozen=True, slots=True)
class Parting:
    """`common` lines are the same in both traces, from the first on."""

    reference: Trace
    candidate: Trace
    common: int

    @property
    def parts(self) -> bool:
        """Does either run take a line that the other does not?"""
        return max(len(self.reference.lines), len(self.candidate.lines)) > self.common


def trace(program: Program, obj: Object | None, given: RunInput, side: str = "", source: SourceText | None = None) -> Trace:
    """A run on the interpreter, line by line; `side` is what the input calls the program's own stack, `source` the program's
    own text where that is in no file."""
    code, texts = Code(program), _line_texts(obj)
    lines: list[Line] = []
    seen: list[Place] = []
    packet: list[bool] = []

    def observe(machine: Machine) -> None:
        place = code.at(machine)
        if place is None:
            return
        line = _line(place, texts, source)
        if not seen or line != lines[-1] or place.function != seen[-1].function:
            lines.append(line)
        seen.append(place)
        if not packet and _reads_packet(machine, place):
            packet.append(True)

    try:
        output = concrete.run(program, given, observe=observe, budget=TRACE_INSNS, side=side)
    except Unmodelled as stopped:
        return Trace(tuple(lines), None, True, str(stopped))
    return Trace(tuple(lines), output, bool(packet))


def parting(
    reference: tuple[Program, Object | None],
    candidate: tuple[Program, Object | None],
    given: RunInput,
    source: SourceText | None = None,
) -> Parting:
    """Both runs, and how long they go the same way. `source` is the candidate's text where that is in no file."""
    first, second = trace(*reference, given, "reference"), trace(*candidate, given, "candidate", source)
    texts = [
        [re.sub(rf"\b{re.escape(program.name)}(?=\()", "", line.text) for line in side.lines]
        for side, (program, _) in ((first, reference), (second, candidate))
    ]
    common = next((at for at, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    return Parting(first, second, common)


def parting_lines(found: Parting) -> list[str]:
    """The traces around the place where they part, for a terminal."""
    before = found.reference.lines[max(0, found.common - BEFORE) : found.common]
    sides = [
        (title, side.lines[found.common :]) for title, side in (("reference", found.reference), ("candidate", found.candidate))
    ]
    shown = [*before, *(line for _, lines in sides for line in lines[:AFTER])]
    width = max((len(line.place) for line in shown), default=0)
    out = []
    if found.common > len(before):
        out.append(f"both       {found.common - len(before)} lines before these")
    out += [f"both       {line.place:<{width}}  {line.text}" for line in before]
    for title, lines in sides:
        out += _side(title, lines, width)
    return out


def _side(title: str, lines: Sequence[Line], width: int) -> list[str]:
    if not lines:
        return [f"{title}  ends here"]
    out = [f"{title if index == 0 else '':<9}  {line.place:<{width}}  {line.text}" for index, line in enumerate(lines[:AFTER])]
    if len(lines) > AFTER:
        out.append(f"{'':<9}  and {len(lines) - AFTER} more")
    return out


def parting_json(found: Parting) -> dict[str, object]:
    """Both traces as data."""
    return {
        "common_lines": found.common,
        "reference": [{"place": line.place, "text": line.text} for line in found.reference.lines],
        "candidate": [{"place": line.place, "text": line.text} for line in found.candidate.lines],
    }


def _line(place: Place, texts: dict[tuple[str, int], str], source: SourceText | None) -> Line:
    path, number = place.line or ("", 0)
    own = source.line(number) if source is not None and Path(path).name == source.path else None
    text = (own or _text(path, number) or texts.get((path, number), "")).strip()
    return Line(f"{Path(path).name}:{number}", text) if text else Line(f"insn {place.slot}", disassemble(place.insn))


def _line_texts(obj: Object | None) -> dict[tuple[str, int], str]:
    """The text of the lines that BTF carries, for when the file is not here."""
    if obj is None or obj.btf is None:
        return {}
    return {key: obj.btf.string(record.text_string) for key, record in obj.lines.items()}


@cache
def _file(path: str) -> tuple[str, ...]:
    try:
        return tuple(Path(path).read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return ()


def _text(path: str, number: int) -> str:
    lines = _file(path)
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _reads_packet(machine: Machine, place: Place) -> bool:
    """Does the next instruction look at bytes of the packet, itself or through a helper?"""
    match machine.functions[place.function][place.insn_idx]:
        case ops.Load(base=base):
            value = machine.registers[base]
            return isinstance(value, Pointer) and value.region.kind == "packet"
        case ops.LoadSkb():
            return True
        case ops.CallHelper():
            given = [value for value in machine.registers[1:6] if isinstance(value, Pointer)]
            return any(value.region.kind in ("packet", "ctx") for value in given)
        case _:
            return False
