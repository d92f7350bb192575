"""The verifier's log as the walk that it tells of: insns in the order of their visits, with what was known of each register.

Kernels write the state in three ways; all are read:

    5: R0_w=inv(id=0) R1=ctx(id=0,off=0,imm=0) R10=fp0            to 5.16: a line of its own, before the insn, all registers
    from 4 to 7: R0=inv0 R1=pkt(id=0,off=0,r=14,imm=0) R10=fp0    where a branch begins: all registers
    5: (07) r1 += 14         ; R1_w=pkt(off=14,r=0)               from 5.18: after the insn, the registers that changed
    9: (26) if w2 > 7 goto pc+5 15: R1=pkt(off=14,r=0) R10=fp0    a taken branch: all registers, where it leads
    5: (07) r1 += 14
    6: R1=pkt(off=14,r=0) R10=fp0                                 (between the two: what changed, on a line of its own)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bpfsmith.kernel.verifier_log import error_lines

_STEP = re.compile(
    r"^(?P<slot>\d+): \((?P<opcode>[0-9a-f]{2})\) (?P<text>.*?)"
    r"(?:\s*; (?P<state>(?:frame\d+: ?)?(?:R\d|fp|refs|cb).*)|\s+(?P<target>\d+): (?P<there>(?:frame\d+: ?)?R\d.*))?$"
)
_STATE = re.compile(r"^(?P<slot>\d+): (?P<state>(?:frame\d+: ?)?R\d.*)$")
_FROM = re.compile(r"^from (?P<origin>\d+) to (?P<slot>\d+)(?: \([^)]*\))?:(?: safe)?(?P<state>.*)$")
_SOURCE = re.compile(r"^; (?P<text>.*?)(?:\s*@ (?P<file>[^ ]+):(?P<line>\d+))?$")
_NAME = re.compile(r"(?P<name>R\d+|fp-\d+)(?P<marks>(?:_[a-zA-Z]+)*)=")
_FRAME = re.compile(r"frame(\d+):")
_NUMBER = re.compile(r"-?(?:0x[0-9a-f]+|0|[1-9]\d*)")  # `fp-8=000020` has zeroed bytes, and is no number


@dataclass(frozen=True, slots=True)
class Register:
    """What is known of a register, or of a stack slot: `kind` is the kernel's word for its type, `facts` what it adds.

    Scalars are of kind "scalar" in every kernel's log (older ones write "inv"). `value` is that of a known constant.
    """

    kind: str
    facts: Mapping[str, str] = field(default_factory=dict)
    value: int | None = None
    text: str = ""

    @property
    def is_pointer(self) -> bool:
        return self.kind not in ("scalar", "misc")

    def number(self, name: str) -> int | None:
        """A numeric fact such as "umax" or "off"."""
        text = self.facts.get(name)
        return int(text, 0) if text is not None and _NUMBER.fullmatch(text) else None

    @property
    def largest(self) -> int | None:
        """The unsigned maximum, None where there is none."""
        if self.value is not None:
            return self.value if self.value >= 0 else None
        for name in ("umax", "umax_value"):
            found = self.number(name)
            if found is not None:
                return found
        mask = re.match(r"\(0x([0-9a-f]+); 0x([0-9a-f]+)\)", self.facts.get("var_off", ""))
        return int(mask[1], 16) | int(mask[2], 16) if mask and int(mask[2], 16) >> 63 == 0 else None

    @property
    def may_be_negative(self) -> bool:
        if self.value is not None:
            return self.value < 0
        for name in ("smin", "smin_value"):
            found = self.number(name)
            if found is not None:
                return found < 0
        largest = self.largest
        return largest is None or largest >> 63 != 0


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of one insn: its slot in the linked program, the call frame, and the state before and after it.

    `source` is the C line that the log shows for it; `jumped` tells that the walk came here by a taken branch.
    """

    slot: int
    text: str
    frame: int
    before: Mapping[str, Register]
    after: Mapping[str, Register]
    source: str = ""
    line: int = 0
    jumped: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """The path on which the verifier stopped, and its last words; of a log of all paths (level 2) the others are left out."""

    visits: tuple[Visit, ...]
    words: tuple[str, ...]

    @property
    def last(self) -> Visit | None:
        return self.visits[-1] if self.visits else None


_MOST_CHARACTERS = 4_000_000
"""Of a longer log only the end is read: what led to the refusal stands there."""


def parse_trace(log: str) -> Trace:
    """Reads the log of a refused program, of any kernel since 5.10. Lines that are none of its forms are passed over."""
    reader = _Reader()
    for line in log[-_MOST_CHARACTERS:].splitlines():
        reader.read(line)
    return Trace(tuple(reader.visits), error_lines(log))


class _Reader:
    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.frames: dict[int, dict[str, Register]] = {0: {}}
        self.frame = 0
        self.source, self.line = "", 0
        self.jumped = False

    def read(self, line: str) -> None:
        if match := _STEP.match(line):
            self._step(int(match["slot"]), match["text"].rstrip(), match["state"])
            if match["there"] is not None:  # the branch is taken: the state where it leads
                self._state(match["there"], whole=True)
                self.jumped = True
        elif match := _FROM.match(line):
            self._back_to(int(match["origin"]))
            self.jumped = True
            self._state(match["state"].strip(), whole=True)
        elif match := _STATE.match(line):
            self._state(match["state"], whole=False)
        elif line.startswith("; ") and (match := _SOURCE.match(line)):
            self.source, self.line = match["text"].strip(), int(match["line"] or 0)
        elif line.startswith(("caller:", "callee:", "returning from callee", "to caller at")):
            return
        elif line.lstrip().startswith("frame") and _FRAME.match(line.lstrip()):
            self._state(line.strip(), whole=True)

    def _back_to(self, origin: int) -> None:
        """Another path begins at an insn of the last one: what followed it there is no part of this path."""
        where = next((at for at in range(len(self.visits) - 1, -1, -1) if self.visits[at].slot == origin), None)
        if where is not None:
            del self.visits[where + 1 :]

    def _step(self, slot: int, text: str, state: str | None) -> None:
        before = dict(self.frames.get(self.frame, {}))
        visit = Visit(slot, text, self.frame, before, before, self.source, self.line, self.jumped)
        self.jumped = False
        self.visits.append(visit)
        if state is not None:
            self._state(state, whole=False)

    def _state(self, text: str, whole: bool) -> None:
        match = _FRAME.match(text)
        frame = int(match[1]) if match else 0
        if match:
            text = text[match.end() :].strip()
        registers = dict(registers_of(text))
        # Before 5.18 a state line is whole. Those logs give every pointer its id, and call scalars "inv".
        whole = whole or "(id=0," in text or "=inv" in text
        self.frame = frame
        base = {} if whole else self.frames.setdefault(frame, {})
        self.frames[frame] = {**base, **registers}
        if self.visits and not self.jumped and self.visits[-1].frame == frame:
            self.visits[-1] = replace(self.visits[-1], after=dict(self.frames[frame]))


def registers_of(text: str) -> Iterator[tuple[str, Register]]:
    """The registers and stack slots of one state, by name ("R1", "fp-8")."""
    at = 0
    while match := _NAME.search(text, at):
        end = _value_end(text, match.end())
        yield match["name"], register(text[match.end() : end])
        at = end


def _value_end(text: str, at: int) -> int:
    """Where a value that starts at `at` ends: at the first space outside parentheses."""
    depth = 0
    for index in range(at, len(text)):
        if text[index] == "(":
            depth += 1
        elif text[index] == ")":
            depth -= 1
        elif text[index] == " " and depth == 0:
            return index
    return len(text)


def register(text: str) -> Register:
    """One value as the verifier prints it: `pkt(off=14,r=20)`, `inv5`, `scalar(umax=255)`, `5`, `P0`, `fp-16`, `mmmmmmmm`."""
    bare = text.removeprefix("P")
    if _NUMBER.fullmatch(bare):
        return Register("scalar", {}, int(bare, 0), text)
    if match := re.fullmatch(r"P?(?:inv|scalar|Pscalar)P?(-?(?:0x[0-9a-f]+|0|[1-9]\d*))", text):
        return Register("scalar", {}, int(match[1], 0), text)
    if re.fullmatch(r"[mzird?0-9D]{8}", text):
        return Register("misc", {}, None, text)
    if match := re.fullmatch(r"fp(-?\d+)?(?:\((.*)\))?", text):
        return Register("fp", {"off": match[1] or "0", **_facts(match[2] or "")}, None, text)
    name, paren, inside = text.partition("(")
    kind = "scalar" if name.removeprefix("P") in ("inv", "scalar", "invP") else name
    facts = _facts(inside.removesuffix(")") if paren else "")
    value = facts.get("imm") if kind == "scalar" else None
    return Register(kind, facts, int(value, 0) if value and _NUMBER.fullmatch(value) else None, text)


def _facts(text: str) -> dict[str, str]:
    """`id=1,smin=smin32=0,var_off=(0x0; 0xff)` by name; several names may share a value."""
    facts: dict[str, str] = {}
    for part in _split(text):
        *names, value = part.split("=") if "=" in part else (part, "")
        for name in names:
            facts[name.strip()] = value
    return facts


def _split(text: str) -> Sequence[str]:
    """At commas outside parentheses."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [part for part in (*parts, text[start:]) if part]
