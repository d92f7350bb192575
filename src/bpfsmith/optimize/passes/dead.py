"""Removes what nobody looks at: values, stores to the stack, calls that only give back a value."""

from __future__ import annotations

from collections.abc import Sequence

from bpfsmith.ir import ops
from bpfsmith.optimize.calls import map_name
from bpfsmith.optimize.effects import ARRAYS, HELPER_EFFECTS, LOOKUP, Surroundings, defines, is_pure
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import REGISTERS, Liveness, Touch, stack_mask
from bpfsmith.optimize.state import Event, State


def remove_dead(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> bool:
    """Removes instructions without effect, also those that only feed each other around a loop."""
    live = Liveness.of(graph, flow, around)
    changed = False
    for number in sorted(graph.blocks):
        changed |= _block(graph, flow, around, ledger, live, number)
    return changed


def _block(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger, live: Liveness, number: int) -> bool:
    block = graph.blocks[number]
    entry = flow.entries.get((number,))
    if entry is None:
        return False
    states = _states(graph, flow, around, number, entry.states[0].copy())
    after = live.live_out[number]
    touches = live.touches[number]
    if block.end is not None:
        after = after & ~touches[-1].kills | touches[-1].reads
    kept: list[Node] = []
    for position in range(len(block.nodes) - 1, -1, -1):
        node, touch = block.nodes[position], touches[position]
        if _is_dead(node, states[position], flow, around, after) and ledger.allows(
            "dead-store" if isinstance(node.op, ops.Store) else "dead-code", node.insn.span, "nobody reads it"
        ):
            continue
        kept.append(node)
        after = after & ~touch.kills | touch.reads
    changed = len(kept) != len(block.nodes)
    block.nodes = kept[::-1]
    return changed


def _states(graph: Graph, flow: Flow, around: Surroundings, number: int, state: State) -> list[State]:
    """The state before each instruction; only registers are kept, which is all that is asked."""
    out = []
    events: list[Event] = []
    for node in graph.blocks[number].nodes:
        out.append(State(list(state.regs)))
        flow.values.step(state, node, around, events, tag_of((number,)))
    return out


def _is_dead(node: Node, state: State, flow: Flow, around: Surroundings, after: int) -> bool:
    op = node.op
    if is_pure(op):
        return not any(after >> register & 1 for register in defines(op))
    if isinstance(op, ops.Store) and not op.release and node.relo is None:
        address = state.regs[op.base]
        if address is None:
            return False
        root, at = flow.values.place(address)
        if root.op == "app" and root.name == "fp":
            return not after & stack_mask(at + op.offset, at + op.offset + op.size) and at + op.offset >= -512
        return False
    if isinstance(op, ops.CallHelper) and not after & 1 & REGISTERS:
        effect = HELPER_EFFECTS.get(op.helper_id)
        if effect is not None and effect.pure:
            return True
        name = map_name(state.regs[1])
        return op.helper_id == LOOKUP and name is not None and name in around.maps and around.maps[name].type in ARRAYS
    return False


def needed_nodes(nodes: Sequence[Node], touches: Sequence[Touch], alive: int) -> tuple[Node, ...]:
    """Those of the instructions that change something which is alive after them; only arithmetic, loads and stores to the stack
    are ever left out."""
    kept: list[Node] = []
    for node, touch in zip(reversed(nodes), reversed(touches[: len(nodes)]), strict=True):
        if is_pure(node.op) and not any(alive >> register & 1 for register in defines(node.op)):
            continue
        if isinstance(node.op, ops.Store) and node.relo is None and touch.kills and not touch.kills & alive:
            continue
        kept.append(node)
        alive = alive & ~touch.kills | touch.reads
    return tuple(kept[::-1])
