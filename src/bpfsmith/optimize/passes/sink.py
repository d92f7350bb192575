"""Constants that only one way of a branch needs are made on that way.

r1 = r0                        if r0 s< 0 goto bad
w0 = 2                  ->     ..
if r1 s< 0 goto out            bad: w0 = 2
..                             out: exit
out: exit
"""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.ir import ops
from bpfsmith.optimize.effects import Surroundings, defines, uses
from bpfsmith.optimize.flow import Flow
from bpfsmith.optimize.graph import Block, Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness

_Group = tuple[Node, int]
"""What is made, and the block that needs it."""


@dataclass(frozen=True, slots=True)
class _Site:
    block: int
    position: int
    way: str  # "next" or "taken"


def sinkable(graph: Graph, flow: Flow, around: Surroundings) -> dict[_Group, list[_Site]]:
    """Constants made before a branch for one of its ways, those for one block together."""
    live = Liveness.of(graph, flow, around)
    out: dict[_Group, list[_Site]] = {}
    for number in sorted(graph.blocks):
        block = graph.blocks[number]
        if block.end is None or block.taken is None or block.next is None or block.next == block.taken:
            continue
        touched = set(uses(block.end, around))
        for position in range(len(block.nodes) - 1, -1, -1):
            node = block.nodes[position]
            op = node.op
            if isinstance(op, ops.Alu) and op.kind is ops.AluKind.MOV and isinstance(op.src, ops.Imm) and node.relo is None:
                needed = [way for way in ("next", "taken") if live.live_in[getattr(block, way)] >> op.dst & 1]
                if op.dst not in touched and len(needed) == 1:
                    out.setdefault((node, getattr(block, needed[0])), []).append(_Site(number, position, needed[0]))
            touched |= {*uses(node, around), *defines(op)}
    return out


def sink(graph: Graph, group: _Group, sites: list[_Site], ledger: Ledger) -> Graph | None:
    """The graph with these constants made on the way to the block that needs them."""
    node, target = group
    words = f"a constant is made where it is needed, for {len(sites)} branches"
    if not ledger.allows("sinking", node.insn.span, words):
        return None
    out = graph.copy()
    number = out.fresh()
    out.blocks[number] = Block([node], None, target)
    for site in sites:
        block = out.blocks[site.block]
        del block.nodes[site.position]
        setattr(block, site.way, number)
    return out
