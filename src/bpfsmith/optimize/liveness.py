"""Which registers and stack bytes may still be read, backward over the blocks.

Sets are bit masks: bits 0..10 are registers, bit 11 + 512 + k is the stack byte at r10 + k.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfsmith.ir import ops
from bpfsmith.optimize.calls import touched
from bpfsmith.optimize.effects import HELPER_EFFECTS, Surroundings, defines, uses
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.state import STACK_BYTES, Event, State
from bpfsmith.optimize.values import Values

REGISTERS = (1 << 11) - 1
STACK_MASK = ((1 << STACK_BYTES) - 1) << 11


def stack_mask(first: int, end: int) -> int:
    """The bytes from r10 + first up to r10 + end."""
    first, end = max(first, -STACK_BYTES), min(end, 0)
    return ((1 << max(end - first, 0)) - 1) << (11 + STACK_BYTES + first)


@dataclass(frozen=True, slots=True)
class Touch:
    """What one instruction reads, and what it surely overwrites."""

    reads: int
    kills: int


@dataclass(slots=True)
class Liveness:
    """`touches` for every node of every block (the end last), `live_in` and `live_out` by block."""

    touches: dict[int, list[Touch]] = field(default_factory=dict)
    live_in: dict[int, int] = field(default_factory=dict)
    live_out: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, flow: Flow, around: Surroundings) -> Liveness:
        """For a graph that is still as `flow` saw it, or a changed copy of it."""
        if graph is not flow.sides[0][0]:
            return cls._of(graph, flow, around)
        if not isinstance(flow.liveness, cls):
            flow.liveness = cls._of(graph, flow, around)
        return flow.liveness

    @classmethod
    def _of(cls, graph: Graph, flow: Flow, around: Surroundings) -> Liveness:
        out = cls()
        for number in graph.blocks:
            out.touches[number] = touches_of(graph, flow, around, number)
        out.solve(graph)
        return out

    def solve(self, graph: Graph) -> None:
        order = graph.order()[::-1]
        self.live_in = dict.fromkeys(graph.blocks, 0)
        self.live_out = dict.fromkeys(graph.blocks, 0)
        changed = True
        while changed:
            changed = False
            for number in order:
                after = 0
                for successor in graph.blocks[number].successors:
                    after |= self.live_in[successor]
                before = after
                for touch in reversed(self.touches[number]):
                    before = before & ~touch.kills | touch.reads
                if before != self.live_in[number] or after != self.live_out[number]:
                    self.live_in[number], self.live_out[number] = before, after
                    changed = True


def touches_of(graph: Graph, flow: Flow, around: Surroundings, number: int) -> list[Touch]:
    """What each instruction of a block reads and overwrites, the end last."""
    block = graph.blocks[number]
    entry = flow.entries.get((number,))
    nodes = [*block.nodes, *([block.end] if block.end is not None else [])]
    if entry is None:
        return [Touch(REGISTERS | STACK_MASK, 0) for _ in nodes]
    state = entry.states[0].copy()
    events: list[Event] = []
    out = []
    for node in nodes:
        out.append(touch(node, state, flow, around))
        if node is not block.end:
            flow.values.step(state, node, around, events, tag_of((number,)))
    return out


def touch(node: Node, state: State, flow: Flow, around: Surroundings) -> Touch:
    """What an instruction reads and overwrites in this state."""
    reads, kills = 0, 0
    for register in uses(node, around):
        reads |= 1 << register
    for register in defines(node.op):
        kills |= 1 << register
    values = flow.values
    match node.op:
        case ops.Load(base=base, offset=offset, size=size) | ops.Store(base=base, offset=offset, size=size) as op:
            address = state.regs[base]
            if not values.kinds.may_be_stack(address):
                return Touch(reads, kills)
            assert address is not None
            root, at = values.place(address)
            exact = root.op == "app" and root.name == "fp" and node.relo is None
            mask = stack_mask(at + offset, at + offset + size) if exact else STACK_MASK
            if isinstance(op, ops.Load):
                reads |= mask
            elif exact:
                kills |= mask
        case ops.Atomic(base=base):
            if values.kinds.may_be_stack(state.regs[base]):
                reads |= STACK_MASK
        case ops.CallHelper(helper_id=helper_id) if (effect := HELPER_EFFECTS.get(helper_id)) is not None:
            read, written = touched(values, state, effect, around)
            for register, length in read:
                reads |= _reached(values, state, register, length)
            for register, length, whole in written:
                mask = _reached(values, state, register, length)
                if whole and _is_exact(values, state, register):
                    kills |= mask
        case ops.CallHelper() | ops.CallKfunc() | ops.CallSubprogram():
            if any(values.kinds.may_be_stack(state.regs[register]) for register in uses(node, around)):
                reads |= STACK_MASK
        case _:
            pass
    return Touch(reads, kills)


def _is_exact(values: Values, state: State, register: int) -> bool:

    value = state.regs[register]
    if value is None:
        return False
    root, _ = values.place(value)
    return root.op == "app" and root.name == "fp"


def _reached(values: Values, state: State, register: int, length: int | None) -> int:

    value = state.regs[register]
    if value is None or not values.kinds.may_be_stack(value):
        return 0
    if not _is_exact(values, state, register):
        return STACK_MASK
    _, at = values.place(value)
    return stack_mask(at, 0 if length is None else at + length)
