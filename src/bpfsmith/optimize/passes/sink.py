"""Constants are made on the ways that need them, and the stack is written there.

r1 = r0                        if r0 s< 0 goto bad
w0 = 2                  ->     ..
if r1 s< 0 goto out            bad: w0 = 2
..                             out: exit
out: exit
"""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.ir import ops
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize import make
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.flow import Flow
from bpfsmith.optimize.graph import Block, Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness, Touch, touches_of


@dataclass(frozen=True, slots=True)
class Sunk:
    """`insn` gives a register the constant that it has on all these ways, (block, "next" or "taken"), into block `target`."""

    insn: Insn
    target: int
    ways: tuple[tuple[int, str], ...]


def sinkable(graph: Graph, flow: Flow, around: Surroundings) -> list[Sunk]:
    """Constants that a block is given on several ways, those with most ways first."""
    live = Liveness.of(graph, flow, around)
    found: dict[tuple[int, int, int], list[tuple[int, str]]] = {}
    for (number,), edges in sorted(flow.edges.items()):
        block = graph.blocks.get(number)
        if block is None or block.next == block.taken:
            continue
        for (target,), entry in edges:
            if target not in graph.blocks:
                continue
            way = "next" if block.next == target else "taken"
            for register in range(10):
                value = entry.states[0].regs[register]
                if value is None or not value.is_const or not live.live_in[target] >> register & 1:
                    continue
                found.setdefault((target, register, value.number), []).append((number, way))
    out = []
    for (target, register, number), ways in found.items():
        span = graph.blocks[ways[0][0]].end
        insn = make.constant(register, number, span.insn.span if span is not None else None)
        if insn is not None:
            out.append(Sunk(insn, target, tuple(ways)))
    return sorted(out, key=lambda item: (-len(item.ways), item.target, item.insn.dst_reg))


def sink(graph: Graph, sunk: Sunk, ledger: Ledger) -> Graph | None:
    """The graph with the constant made on the ways to the block."""
    if not ledger.allows("sinking", sunk.insn.span, f"r{sunk.insn.dst_reg} is made on {len(sunk.ways)} ways that need it"):
        return None
    out = graph.copy()
    number = out.fresh()
    out.blocks[number] = Block([Node(sunk.insn)], None, sunk.target)
    for block, way in sunk.ways:
        setattr(out.blocks[block], way, number)
    return out


def sink_stores(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> bool:
    """Moves stores to the stack, and numbers, past a branch of which only one way needs them. That makes nothing shorter, but
    brings stores together and spares the other way the work."""
    live = Liveness.of(graph, flow, around)
    before = graph.predecessors()
    changed = False
    for number in graph.order():
        block = graph.blocks[number]
        ways = {way for way in block.successors if len(before[way]) == 1 and way != graph.entry}
        if block.end is None or not isinstance(block.end.op, ops.Branch) or not ways or (number,) not in flow.entries:
            continue
        touches = touches_of(graph, flow, around, number)
        alive = {way: live.live_in[way] for way in block.successors}
        read, written = touches[-1].reads, 0
        for position in range(len(block.nodes) - 1, -1, -1):
            node, touch = block.nodes[position], touches[position]
            needed = [way for way in alive if alive[way] & touch.kills]
            apart = not touch.kills & (read | written) and not touch.reads & written
            if (
                _may_sink(node, touch)
                and apart
                and len(needed) == 1
                and needed[0] in ways
                and ledger.allows("sinking", node.insn.span, "only one way of the branch needs it")
            ):
                del block.nodes[position]
                graph.blocks[needed[0]].nodes.insert(0, node)
                alive[needed[0]] = alive[needed[0]] & ~touch.kills | touch.reads
                changed = True
                continue
            read |= touch.reads
            written |= touch.kills
    return changed


def _may_sink(node: Node, touch: Touch) -> bool:
    if node.relo is not None or not touch.kills:
        return False
    if isinstance(node.op, ops.Store):
        return not node.op.release
    return isinstance(node.op, ops.Alu) and node.op.kind is ops.AluKind.MOV and isinstance(node.op.src, ops.Imm)
