"""Copies are made as soon as there is something to copy, where that lets an argument be made in its own register.

r2 = *(u64 *)(r1 +0)          r8 = r1
r8 = r1                ->     r1 = *(u64 *)(r8 +0)
r1 = r2                       call ..
call ..
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bpfsmith.ir import ops
from bpfsmith.optimize.effects import Surroundings, defines, is_call, uses
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.ledger import Ledger


def early_copies(graph: Graph, around: Surroundings, ledger: Ledger) -> Iterator[Graph]:
    """Graphs to try, each with one copy made earlier and read from there on."""
    for number in sorted(graph.blocks):
        nodes = graph.blocks[number].nodes
        for position, node in enumerate(nodes):
            op = node.op
            if not isinstance(op, ops.Alu) or op.kind is not ops.AluKind.MOV or op.width != 64 or isinstance(op.src, ops.Imm):
                continue
            if op.src == 10 or node.relo is not None:
                continue
            first = _first(nodes, position, op.dst, op.src, around)
            between = nodes[first:position]
            if not any(op.src in uses(item, around) for item in between):
                continue
            renamed = [_reading(item, op.src, op.dst) for item in between]
            if any(item is None for item in renamed):
                continue
            if not ledger.allows("early-copy", node.insn.span, f"r{op.dst} = r{op.src} is made earlier"):
                continue
            out = graph.copy()
            out.blocks[number].nodes[first : position + 1] = [node, *(item for item in renamed if item is not None)]
            yield out


def _first(nodes: list[Node], position: int, dst: int, src: int, around: Surroundings) -> int:
    """How far up the copy can go: what it reads is there, and nobody reads what it overwrites."""
    first = position
    while first > 0:
        node = nodes[first - 1]
        if src in defines(node.op) or dst in defines(node.op) or dst in uses(node, around):
            break
        first -= 1
    return first


def _reading(node: Node, old: int, new: int) -> Node | None:
    """The instruction with `new` for `old` where it reads; None where the register is not its own choice."""
    insn = node.insn
    match node.op:
        case op if is_call(op) or isinstance(op, ops.Exit):
            return None
        case ops.Load(base=base) if base == old:
            return replace(node, insn=replace(insn, src_reg=new))
        case ops.Store(base=base, src=src):
            dst_reg = new if base == old else insn.dst_reg
            src_reg = new if not isinstance(src, ops.Imm) and src == old else insn.src_reg
            return replace(node, insn=replace(insn, dst_reg=dst_reg, src_reg=src_reg))
        case ops.Alu(dst=dst, src=src) if not isinstance(src, ops.Imm) and src == old and dst != old:
            return replace(node, insn=replace(insn, src_reg=new))
        case ops.Load() | ops.LoadImm() | ops.LoadMap() | ops.LoadMapValue():
            return node
        case ops.Alu(dst=dst, src=src) if dst != old and (isinstance(src, ops.Imm) or src != old):
            return node
        case _:
            return None
