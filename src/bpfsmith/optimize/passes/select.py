"""Numbers that a branch chooses, made without the branch, or one for both ways.

r1 = 1                         r1 = r2             r6 = 1                       if r0 == 0 goto out
if r2 != 0 goto on      ->     r1 = -r1            if r0 == 0 goto out          ..
r1 = 0                         r1 >>= 63           ..                    ->     r0 = -1
on: ..                                             r6 = 0                       out: r0 += 1
                                                   out: r0 = r6                 exit
                                                   exit
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bpfsmith.ir import ops
from bpfsmith.ir.ops import AluKind, Condition, Imm
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize import make
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Block, Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness
from bpfsmith.optimize.state import Event, State, TooHard
from bpfsmith.semantics.terms import leading_zeros
from bpfsmith.source import Span


def selections(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> Iterator[Graph]:
    """Graphs to try, each with one choice made in another way."""
    live = Liveness.of(graph, flow, around)
    for number in sorted(graph.blocks):
        if (number,) in flow.entries:
            yield from _without_branch(graph, flow, around, live, number, ledger)
            yield from _offset(graph, flow, live, number, ledger)


# --- a truth value ----------------------------------------------------------------------------------------------------
def _without_branch(
    graph: Graph, flow: Flow, around: Surroundings, live: Liveness, number: int, ledger: Ledger
) -> Iterator[Graph]:
    block = graph.blocks[number]
    if block.end is None or block.taken is None or block.next is None or not isinstance(block.end.op, ops.Branch):
        return
    ends = [_through(graph, way) for way in (block.taken, block.next)]
    if ends[0][0] != ends[1][0] or ends[0][0] == number:
        return
    state = _at_end(graph, flow, around, number)
    registers = {register for _, made in ends for register in made}
    if state is None or len(registers) != 1:
        return
    (register,) = registers
    values = []
    for _, made in ends:
        held = state.regs[register]
        if register in made:
            values.append(made[register])
        elif held is not None and held.is_const:
            values.append(held.number)
        else:
            return
    span = block.end.insn.span
    bit = _bit(block.end.op, state, register, span)
    if bit is None or {*values} != {0, 1}:
        return
    nodes, when_taken = bit
    if values[0] != when_taken:
        one = Insn(isa.BPF_ALU64 | isa.BPF_XOR | isa.BPF_K, register, imm=1, span=span)
        nodes = [*nodes, Node(one)]
    if not ledger.allows("if-conversion", span, f"r{register} is made without a branch"):
        return
    out = graph.copy()
    out.blocks[number] = Block([*block.nodes, *nodes], None, ends[0][0])
    out.prune()
    yield out


def _through(graph: Graph, number: int) -> tuple[int, dict[int, int]]:
    """Where a way goes on after a block that does nothing but make a number, and that number."""
    block = graph.blocks[number]
    if block.end is not None or block.next is None or len(block.nodes) != 1:
        return number, {}
    op = block.nodes[0].op
    if not isinstance(op, ops.Alu) or op.kind is not AluKind.MOV or not isinstance(op.src, Imm) or block.nodes[0].relo:
        return number, {}
    return block.next, {op.dst: op.src.value & ((1 << op.width) - 1)}


def _at_end(graph: Graph, flow: Flow, around: Surroundings, number: int) -> State | None:
    state, events = flow.entries[number,].states[0].copy(), list[Event]()
    try:
        for node in graph.blocks[number].nodes:
            flow.values.step(state, node, around, events, tag_of((number,)))
    except TooHard:
        return None
    return state


def _bit(op: ops.Branch, state: State, register: int, span: Span | None) -> tuple[list[Node], int] | None:
    """Instructions that give `register` 1 or 0 by the sign of a difference, and which of them when the branch is taken. What is
    compared has no sign itself: its upper half is zero."""
    left = state.regs[op.left]
    if left is None or leading_zeros(left) == 0 or not isinstance(op.right, Imm) or op.left == register:
        return None
    if op.width == 32 and leading_zeros(left) < 32:
        return None
    copy = Node(make.move(register, op.left, span))
    sign = Node(Insn(isa.BPF_ALU64 | isa.BPF_RSH | isa.BPF_K, register, imm=63, span=span))
    limit = op.right.value
    if op.condition in (Condition.EQ, Condition.NE) and limit == 0:
        negated = Node(Insn(isa.BPF_ALU64 | isa.BPF_NEG, register, span=span))
        return [copy, negated, sign], int(op.condition is Condition.NE)
    bounds = {
        Condition.ULT: (limit, 1),
        Condition.UGE: (limit, 0),
        Condition.ULE: (limit + 1, 1),
        Condition.UGT: (limit + 1, 0),
    }
    if op.condition not in bounds or not 0 < limit < (1 << 31) - 1:
        return None
    least, when_taken = bounds[op.condition]
    less = Node(Insn(isa.BPF_ALU64 | isa.BPF_ADD | isa.BPF_K, register, imm=-least, span=span))
    return [copy, less, sign], when_taken


_BELOW = {Condition.ULT: (0, 1), Condition.UGE: (0, 0), Condition.ULE: (1, 1), Condition.UGT: (1, 0)}
"""What is added to the number for a test of "less than", and whether a taken branch means that."""


# --- a distance -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Way:
    """A way into the block, the number that is wanted there, and the one that the register holds already, if any."""

    block: int
    way: str
    wanted: int
    held: int | None


def _offset(graph: Graph, flow: Flow, live: Liveness, number: int, ledger: Ledger) -> Iterator[Graph]:
    """A number that a block is given on every way, where the register holds another one on some of them already."""
    block = graph.blocks[number]
    first = block.nodes[0].op if block.nodes else None
    for register in range(10):
        source, rest = register, block.nodes
        if (
            isinstance(first, ops.Alu)
            and first.kind is AluKind.MOV
            and first.dst == register
            and not isinstance(first.src, Imm)
        ):
            source, rest = first.src, block.nodes[1:]
        elif not live.live_in[number] >> register & 1:
            continue
        ways = _ways(graph, flow, number, register, source)
        if len(ways) < 2 or number == graph.entry:
            continue
        for distance in sorted({way.wanted - way.held for way in ways if way.held is not None} - {0}):
            span = block.end.insn.span if block.end else None
            if make.fits_signed(distance, 32) and ledger.allows("one-number", span, f"r{register} is moved by {distance}"):
                trial = _with_distance(
                    graph, Block(list(rest), block.end, block.next, block.taken), register, distance, ways, span
                )
                if trial is not None:
                    yield trial


def _ways(graph: Graph, flow: Flow, number: int, register: int, source: int) -> list[_Way]:
    """All ways into a block; none unless the register is given a known number on each."""
    out: list[_Way] = []
    for (before,), edges in sorted(flow.edges.items()):
        block = graph.blocks.get(before)
        if block is None or block.next == block.taken:
            continue
        for (target,), entry in edges:
            if target != number:
                continue
            wanted, held = entry.states[0].regs[source], entry.states[0].regs[register]
            if wanted is None or not wanted.is_const:
                return []
            value = make.signed64(wanted.number)
            if source == register and _through(graph, before) == (number, {register: wanted.number}):
                out += [replace(way, wanted=value) for way in _into(graph, flow, before, register)]
                continue
            known = make.signed64(held.number) if held is not None and held.is_const and source != register else None
            out.append(_Way(before, "next" if block.next == number else "taken", value, known))
    return out


def _into(graph: Graph, flow: Flow, number: int, register: int) -> Iterator[_Way]:
    for (before,), edges in sorted(flow.edges.items()):
        for (target,), entry in edges:
            if target == number and before in graph.blocks:
                held = entry.states[0].regs[register]
                known = make.signed64(held.number) if held is not None and held.is_const else None
                yield _Way(before, "next" if graph.blocks[before].next == number else "taken", 0, known)


def _with_distance(
    graph: Graph, block: Block, register: int, distance: int, ways: list[_Way], span: Span | None
) -> Graph | None:
    out = graph.copy()
    target = out.fresh()
    step = Node(Insn(isa.BPF_ALU64 | isa.BPF_ADD | isa.BPF_K, register, imm=distance, span=span))
    out.blocks[target] = Block([step, *block.nodes], block.end, block.next, block.taken)
    made: dict[int, int] = {}
    for way in ways:
        if way.held is not None and way.wanted - way.held == distance:
            setattr(out.blocks[way.block], way.way, target)
            continue
        if way.wanted not in made:
            insn = make.constant(register, (way.wanted - distance) & ((1 << 64) - 1), span)
            if insn is None:
                return None
            made[way.wanted] = out.fresh()
            out.blocks[made[way.wanted]] = Block([Node(insn)], None, target)
        setattr(out.blocks[way.block], way.way, made[way.wanted])
    out.prune()
    return out
