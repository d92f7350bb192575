"""A load, an addition and a store to one place as one atomic addition, where that was asked for.

    r1 = *(u64 *)(r0 +0)
    r1 += r2                     lock *(u64 *)(r0 +0) += r2
    *(u64 *)(r0 +0) = r1

That is no equivalence: other CPUs can come between the load and the store, and no longer can. Every run of the new form is one
that the old form could have made, which is why it is a refinement, and off unless it is asked for. It is often shorter, and
slower.
"""

from __future__ import annotations

from bpfsmith.ir import ops
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize import make
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.flow import Flow
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness, touches_of
from bpfsmith.optimize.passes.dead import remove_dead
from bpfsmith.optimize.passes.words import walk
from bpfsmith.optimize.state import State
from bpfsmith.semantics.terms import Term


def form_atomics(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> bool:
    """Replaces the stores of sums of what is stored there by atomic additions, one in each block and round."""
    if not around.atomics:
        return False
    changed = False
    live = Liveness.of(graph, flow, around)
    for number in graph.order():
        if (number,) in flow.entries:
            changed |= _block(graph, flow, around, ledger, live, number)
    return changed


def _block(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger, live: Liveness, number: int) -> bool:
    nodes = graph.blocks[number].nodes
    touches = touches_of(graph, flow, around, number)
    alive = live.live_out[number]
    free = [0] * len(nodes)
    for position in range(len(touches) - 1, -1, -1):
        if position < len(nodes):
            free[position] = alive
        alive = alive & ~touches[position].kills | touches[position].reads
    for position, (before, _, node) in enumerate(list(walk(graph, flow, around, number))):
        added = _added(flow, before, node)
        if added is None:
            continue
        new = _instead(before, node, added, free[position], flow)
        if new is None:
            continue
        trial = graph.copy()
        trial.blocks[number].nodes[position : position + 1] = new
        remove_dead(trial, flow, around, Ledger())
        bare = graph.copy()
        remove_dead(bare, flow, around, Ledger())
        if trial.slots() < bare.slots() and ledger.allows("atomic", node.insn.span, "a load, an addition and a store as one"):
            graph.blocks = trial.blocks
            return True
    return False


def _added(flow: Flow, state: State, node: Node) -> Term | None:
    """What a store adds to what is there, of the width of the store."""
    op, values = node.op, flow.values
    if not isinstance(op, ops.Store) or isinstance(op.src, ops.Imm) or op.release or node.relo or op.size not in (4, 8):
        return None
    address, stored = state.regs[op.base], state.regs[op.src]
    if address is None or stored is None:
        return None
    base, offset = values.place(address)
    if not all(kind.startswith(("map:", "data:")) for kind in values.kinds.of(base)) or (offset + op.offset) % op.size:
        return None
    width = 8 * op.size
    there = values.join([values.byte(state, base, offset + op.offset + i) for i in range(op.size)])
    new = values.t.extract(stored, 64, width - 1, 0)
    if there.is_const or not _mentions(new, there):
        return None
    return values.t.sub(width, new, there)


def _mentions(total: Term, part: Term) -> bool:
    return total.op == "add" and part in total.args


def _instead(state: State, node: Node, added: Term, alive: int, flow: Flow) -> list[Node] | None:
    insn, t = node.insn, flow.values.t
    size = isa.BPF_DW if added.width == 64 else isa.BPF_W

    def atomic(register: int) -> Node:
        code = isa.BPF_STX | isa.BPF_ATOMIC | size
        return Node(Insn(code, insn.dst_reg, register, insn.offset, isa.BPF_ADD, span=insn.span), refines=True)

    if added.is_const:
        number = added.number - (1 << added.width) if added.number >> (added.width - 1) else added.number
        short = make.constant(insn.src_reg, number & (1 << 64) - 1, insn.span)
        if short is None or alive >> insn.src_reg & 1:
            return None
        return [Node(short), atomic(insn.src_reg)]
    for register in range(10):
        held = state.regs[register]
        if held is not None and t.extract(held, 64, added.width - 1, 0) is added:
            return [atomic(register)]
    return None
