"""A path while it is walked, and what a walk asks of it: registers, stack, what branches have told, the packet's length."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from bpfsmith.cost.steps import Address, Step
from bpfsmith.cost.values import MASK64, Pointer, Unknown, Value
from bpfsmith.ir import ops
from bpfsmith.ir.ops import Condition, Imm, Op, Operand


@dataclass(frozen=True, slots=True)
class Decision:
    """A branch that was not decided, and the side that the path takes."""

    function: str
    insn_idx: int
    taken: bool


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a program. `result` is r0's low 32 bits, None where it is not a constant; `tail_call` says that the path
    leaves through a tail call, `redirects` that it returns what a redirecting helper does. `notes` tell what was assumed on
    the way."""

    steps: tuple[Step, ...]
    decisions: tuple[Decision, ...]
    result: int | None
    tail_call: bool = False
    notes: tuple[str, ...] = ()
    redirects: bool = False


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of a program; `complete` when there are no others."""

    paths: tuple[Path, ...]
    complete: bool


@dataclass
class Frame:
    function: str
    at: int
    saved: list[Value]
    loop: tuple[int, int, str, Value] | None = None  # bpf_loop: the turn, how many, the callback, its context


@dataclass
class State:
    """A path while it is walked."""

    function: str
    at: int = 0
    registers: list[Value] = field(default_factory=list)
    stack: dict[tuple[Hashable, int], tuple[int, Value]] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    facts: dict[Hashable, bool] = field(default_factory=dict)
    known: dict[Hashable, int] = field(default_factory=dict)
    visits: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    shortest: int = 0
    longest: int = 1 << 30
    lookups: int = 0
    written: tuple[tuple[int, int], ...] = ()  # of the packet, from and up to
    steps: list[Step] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    loop: tuple[int, int, str, Value] | None = None

    def forked(self) -> State:
        return replace(
            self,
            registers=list(self.registers),
            stack=dict(self.stack),
            frames=[replace(frame, saved=list(frame.saved)) for frame in self.frames],
            facts=dict(self.facts),
            known=dict(self.known),
            visits={key: list(value) for key, value in self.visits.items()},
            steps=list(self.steps),
            decisions=list(self.decisions),
            notes=dict(self.notes),
        )


def address_of(state: State, op: Op) -> Address | None:
    match op:
        case ops.Load(base=base, offset=offset) | ops.Store(base=base, offset=offset) | ops.Atomic(base=base, offset=offset):
            pointer = state.registers[base]
            if isinstance(pointer, Pointer) and pointer.offset is not None:
                return pointer.kind, pointer.region, pointer.offset + offset
            return None
        case _:
            return None


def note_found(state: State, index: int, there: bool) -> None:
    step = state.steps[index]
    if step.call is not None:
        state.steps[index] = replace(step, call=replace(step.call, found=there))


def operand_of(state: State, operand: Operand) -> Value:
    return operand.value & MASK64 if isinstance(operand, Imm) else state.registers[operand]


def known_value(state: State, value: Value) -> Value:
    """The number that a branch has told an unknown value to be."""
    return state.known.get(value.name, value) if isinstance(value, Unknown) else value


def needed_length(condition: Condition, left: Value, right: Value) -> tuple[int, bool] | None:
    """For a comparison of packet + N with the end: the length that `fits` needs, and whether the branch is taken without it."""
    if not isinstance(left, Pointer) or not isinstance(right, Pointer):
        return None
    flipped = {
        Condition.UGT: Condition.ULT,
        Condition.ULT: Condition.UGT,
        Condition.UGE: Condition.ULE,
        Condition.ULE: Condition.UGE,
    }
    if left.kind == "end" and right.kind == "packet" and condition in flipped:
        condition, left, right = flipped[condition], right, left
    if left.kind != "packet" or right.kind != "end" or left.region is not None or left.offset is None:
        return None
    match condition:
        case Condition.UGT:  # packet + N > end
            return left.offset, True
        case Condition.ULE:
            return left.offset, False
        case Condition.UGE:  # packet + N >= end: one more byte is asked for
            return left.offset + 1, True
        case Condition.ULT:
            return left.offset + 1, False
        case _:
            return None


def is_likely(condition: Condition, left: Value, right: Value, forward: bool) -> bool:
    """Is the branch taken on an ordinary day? Packets are long enough, lookups find, helpers succeed; loops go on, and programs
    put what is rare out of line."""
    asked = needed_length(condition, left, right)
    if asked is not None:
        return not asked[1]
    if isinstance(left, Pointer) and right == 0:
        return condition is Condition.NE
    if isinstance(left, Unknown) and isinstance(left.name, tuple) and left.name[0] == "helper":
        if condition in (Condition.EQ, Condition.NE) and right == 0:
            return condition is Condition.EQ
        if condition in (Condition.SLT, Condition.SGT):
            return condition is Condition.SGT
    return not forward
