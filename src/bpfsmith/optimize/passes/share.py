"""Values that take two slots to make and are made again and again: made once, and kept in a register or on the stack.

r1 = map[counts]           r7 = map[counts]
call ..                    r1 = r7
r1 = map[counts]           call ..
call ..                    r1 = r7
"""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.ir import ops
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize import make
from bpfsmith.optimize.effects import Surroundings, defines, uses
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness
from bpfsmith.optimize.state import STACK_BYTES, Event
from bpfsmith.semantics.terms import Term

KEPT = (6, 7, 8, 9)
"""Registers that calls leave alone."""


@dataclass(frozen=True, slots=True)
class _Site:
    block: int
    position: int  # of the instruction that completes the value
    first: int  # of the first instruction that makes it


def share(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> Graph | None:
    """The graph with one more value kept, which the other passes have yet to make use of; None when there is none to keep."""
    found = _sites(graph, flow, around)
    live: Liveness | None = None
    dominators = _dominators(graph)
    for term, sites in sorted(found.items(), key=lambda item: (-len(item[1]), item[1][0].block, item[1][0].position)):
        if len(sites) < 3:
            break
        live = live or Liveness.of(graph, flow, around)
        at, position = _place(sites, dominators)
        between = _between(graph, at, {site.block for site in sites})
        maker = _maker(graph, sites[0])
        register = next((r for r in KEPT if _is_free(graph, live, r, between, around)), None)
        name = _name(term)
        trial = graph.copy()
        if register is not None:
            made = _made_in(maker, register)
        elif not _has_loops_or_calls_by_address(flow):
            slot = _free_slot(graph, flow, around)
            if slot is None:
                continue
            scratch = graph.blocks[sites[0].block].nodes[sites[0].position].insn.dst_reg
            if position is None or (at, position) != (sites[0].block, sites[0].first):
                continue  # the value is stored where the first site makes it
            made = []
            trial.blocks[at].nodes.insert(sites[0].position + 1, Node(make.store(10, slot, 8, scratch, maker[0].insn.span)))
            for site in reversed(sites[1:]):
                node = trial.blocks[site.block].nodes
                index = site.position + (1 if site.block == at and site.position > sites[0].position else 0)
                node[index] = Node(make.load(node[index].insn.dst_reg, 10, slot, 8, node[index].insn.span))
        else:
            continue
        if not ledger.allows("shared-value", maker[0].insn.span, f"{name} is made once for {len(sites)} places"):
            continue
        block = trial.blocks[at]
        if position is None:
            block.nodes += made
        else:
            block.nodes[position:position] = made
        return trial
    return None


def _name(term: Term) -> str:
    return term.name if term.op == "app" else "an address on the stack" if term.op == "add" else "a constant"


def _sites(graph: Graph, flow: Flow, around: Surroundings) -> dict[Term, list[_Site]]:
    """Where values of two slots are made: wide instructions, and r10 + constant as a move and an addition."""
    out: dict[Term, list[_Site]] = {}
    for number in sorted(graph.blocks):
        entry = flow.entries.get((number,))
        if entry is None:
            continue
        state = entry.states[0].copy()
        events: list[Event] = []
        fresh: dict[int, int] = {}  # registers that hold a plain copy of r10, and since where
        for position, node in enumerate(graph.blocks[number].nodes):
            flow.values.step(state, node, around, events, tag_of((number,)))
            op = node.op
            written = defines(op)
            if node.insn.is_wide and node.relo is None:
                value = state.regs[node.insn.dst_reg]
                if value is not None:
                    out.setdefault(value, []).append(_Site(number, position, position))
            elif isinstance(op, ops.Alu) and op.kind is ops.AluKind.ADD and op.dst in fresh and isinstance(op.src, ops.Imm):
                value = state.regs[op.dst]
                if value is not None and fresh[op.dst] == position - 1:
                    out.setdefault(value, []).append(_Site(number, position, fresh[op.dst]))
            for register in written:
                fresh.pop(register, None)
            if isinstance(op, ops.Alu) and op.kind is ops.AluKind.MOV and op.src == 10 and not isinstance(op.src, ops.Imm):
                fresh[op.dst] = position
    return out


def _maker(graph: Graph, site: _Site) -> list[Node]:
    return graph.blocks[site.block].nodes[site.first : site.position + 1]


def _made_in(maker: list[Node], register: int) -> list[Node]:
    out = []
    for node in maker:
        insn: Insn = node.insn
        if node.op == ops.Alu(ops.AluKind.MOV, 64, ops.Reg(insn.dst_reg), ops.Reg(10)):
            out.append(Node(make.move(register, 10, insn.span)))
        else:
            out.append(Node(Insn(insn.opcode, register, insn.src_reg, insn.offset, insn.imm, insn.symbol, insn.span)))
    return out


def _dominators(graph: Graph) -> dict[int, list[int]]:
    """For each block the blocks that every way to it passes, itself last."""
    order = graph.order()
    before = graph.predecessors()
    sets: dict[int, set[int]] = {number: set(order) for number in order}
    sets[graph.entry] = {graph.entry}
    changed = True
    while changed:
        changed = False
        for number in order:
            if number == graph.entry:
                continue
            new = set.intersection(*(sets[item] for item in before[number] if item in sets)) | {number}
            if new != sets[number]:
                sets[number], changed = new, True
    return {number: sorted(sets[number], key=lambda item: len(sets[item])) for number in order}


def _place(sites: list[_Site], dominators: dict[int, list[int]]) -> tuple[int, int | None]:
    """The block in which the value is made, and before which of its instructions (None: at the end)."""
    common = set.intersection(*(set(dominators[site.block]) for site in sites))
    at = max(common, key=lambda item: len(dominators[item]))
    inside = [site.first for site in sites if site.block == at]
    return at, min(inside) if inside else None


def _between(graph: Graph, start: int, ends: set[int]) -> set[int]:
    """The blocks on ways from `start` to any of `ends`."""
    forward, pending = {start}, [start]
    while pending:
        for item in graph.blocks[pending.pop()].successors:
            if item not in forward:
                forward.add(item)
                pending.append(item)
    before = graph.predecessors()
    backward, pending = set(ends), list(ends)
    while pending:
        number = pending.pop()
        if number == start:
            continue
        for item in before[number]:
            if item not in backward:
                backward.add(item)
                pending.append(item)
    return forward & backward | {start}


def _is_free(graph: Graph, live: Liveness, register: int, between: set[int], around: Surroundings) -> bool:
    for number in between:
        block = graph.blocks[number]
        if (live.live_in[number] | live.live_out[number]) >> register & 1:
            return False
        for node in [*block.nodes, *([block.end] if block.end else [])]:
            if register in uses(node, around) or register in defines(node.op):
                return False
    return True


def _has_loops_or_calls_by_address(flow: Flow) -> bool:
    """Does the stack's address reach code that may go anywhere in it?"""
    return any(entry.states[0].rest is not None for entry in flow.entries.values())


def _free_slot(graph: Graph, flow: Flow, around: Surroundings) -> int | None:
    """Eight bytes of stack below everything that the function touches."""
    lowest = 0
    for entry in flow.entries.values():
        lowest = min([lowest, *entry.states[0].stack])
    for number, block in graph.blocks.items():
        if (number,) not in flow.entries:
            return None
        state = flow.entries[number,].states[0].copy()
        events: list[Event] = []
        for node in block.nodes:
            flow.values.step(state, node, around, events, tag_of((number,)))
            for value in state.regs:
                if value is not None and flow.values.kinds.may_be_stack(value):
                    root, offset = flow.values.place(value)
                    if not (root.op == "app" and root.name == "fp"):
                        return None
                    lowest = min(lowest, offset)
        if state.rest is not None:
            return None
        lowest = min([lowest, *state.stack])
    slot = (lowest - 8) // 8 * 8
    return slot if slot >= -STACK_BYTES else None
