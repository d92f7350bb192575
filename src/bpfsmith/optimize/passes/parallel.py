"""Blocks that do the same to neighbouring places share their code.

if w7 != 0 goto a              if w7 != 0 goto a
r1 = *(u64 *)(r0 +8)           r0 += 8
r1 += 1                        a: r1 = *(u64 *)(r0 +0)
*(u64 *)(r0 +8) = r1    ->     r1 += 1
goto out                       *(u64 *)(r0 +0) = r1
a: r1 = *(u64 *)(r0 +0)
r1 += 1
*(u64 *)(r0 +0) = r1
"""

from __future__ import annotations

from itertools import permutations

from bpfsmith.ir import ops
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize.effects import Surroundings, defines, uses
from bpfsmith.optimize.flow import Flow
from bpfsmith.optimize.graph import Block, Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness
from bpfsmith.optimize.passes.control import clean

_LEAST = 3
"""Instructions that two blocks must have in common; one is put in, and a jump may be needed."""


def share_parallel(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> bool:
    """Moves a base register ahead of code that is there for another place too."""
    live = Liveness.of(graph, flow, around)
    size = graph.slots()
    groups: dict[tuple[object, ...], list[int]] = {}
    for number in sorted(graph.blocks):
        block = graph.blocks[number]
        if len(block.nodes) >= _LEAST:
            shape = tuple((node.insn.opcode, node.insn.dst_reg, node.insn.src_reg) for node in block.nodes)
            groups.setdefault((block.end, block.next, block.taken, shape), []).append(number)
    for members in groups.values():
        for first, second in permutations(members, 2):
            moved = _moved(graph.blocks[first], graph.blocks[second], around)
            if moved is None or live.live_out[first] >> moved[0] & 1:
                continue
            register, distance = moved
            span = graph.blocks[first].nodes[0].insn.span
            trial = graph.copy()
            step = Insn(isa.BPF_ALU64 | isa.BPF_ADD | isa.BPF_K, register, imm=distance, span=span)
            trial.blocks[first] = Block([Node(step)], None, second)
            clean(trial, ledger)
            words = f"r{register} is moved by {distance} ahead of code that is elsewhere"
            if trial.slots() < size and ledger.allows("parallel-code", span, words):
                graph.blocks, graph.spare = trial.blocks, trial.spare
                return True
    return False


def _moved(a: Block, b: Block, around: Surroundings) -> tuple[int, int] | None:
    """The register through which `a` reaches the same places as `b`, only so many bytes further on."""
    base: int | None = None
    distance = 0
    for x, y in zip(a.nodes, b.nodes, strict=True):
        if x.insn == y.insn and x.relo == y.relo:
            continue
        op, other = x.op, y.op
        if not isinstance(op, ops.Load | ops.Store) or not isinstance(other, ops.Load | ops.Store) or x.relo or y.relo:
            return None
        here = op.base, op.offset - other.offset
        if x.insn.imm != y.insn.imm or op.base == 10 or (base is not None and here != (base, distance)):
            return None
        base, distance = here
    if base is None:
        return None
    for x, y in zip(a.nodes, b.nodes, strict=True):
        op = x.op
        if base in uses(x, around) and (x.insn == y.insn or (isinstance(op, ops.Store) and op.src == base)):
            return None  # it is used for something else as well
        if base in defines(op):
            return None
    return base, distance
