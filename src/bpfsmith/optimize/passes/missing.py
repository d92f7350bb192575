"""What is done when an entry is missing that is always there: arrays have all entries below their number.

r1 = map[counts] ll              r1 = map[counts] ll
call bpf_map_lookup_elem         call bpf_map_lookup_elem
if r0 == 0 goto missing    ->    if r0 == 0 goto out
..                               ..
out: r0 = 0                      out: r0 = 0
exit                             exit
missing: ..
goto out

Verifiers before Linux 6.14 do not know that and want the test, but what follows it is never run: its other way may lead to any
place at which the registers hold what is wanted there.
"""

from __future__ import annotations

from collections.abc import Iterator

from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.facts import of_entry
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Block, Graph
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import REGISTERS, Liveness, stack_mask
from bpfsmith.optimize.passes.duplicate import state_at_end
from bpfsmith.optimize.state import Event, State
from bpfsmith.semantics.terms import Term, leading_zeros

MAX_TARGETS = 3


def unmissed(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> Iterator[Graph]:
    """Graphs to try, each with one such way led elsewhere: those that are shortest at once come first."""
    live = Liveness.of(graph, flow, around)
    for number in sorted(graph.blocks):
        found = _never(graph, flow, around, number)
        if found is None:
            continue
        way, state, entry = found
        trials = []
        for target in sorted(_reached(graph, number, way)):
            position = _fitting(graph, flow, around, live, target, state, entry)
            if position is not None and (target, position) != (getattr(graph.blocks[number], way), 0):
                trial = _led(graph, number, way, target, position)
                trials.append((trial.slots(), target, trial))
        end = graph.blocks[number].end
        span = end.insn.span if end is not None else None
        for slots, _, trial in sorted(trials, key=lambda item: item[:2])[:MAX_TARGETS]:
            if slots <= graph.slots() and ledger.allows("missing-entry", span, "the array always has this entry"):
                yield trial


def _led(graph: Graph, number: int, way: str, target: int, position: int) -> Graph:
    """The graph with that way out of a block led to a place in another."""
    out = graph.copy()
    if position:
        block = out.blocks[target]
        rest = out.fresh()
        out.blocks[rest] = Block(block.nodes[position:], block.end, block.next, block.taken)
        block.nodes, block.end, block.next, block.taken = block.nodes[:position], None, rest, None
        target = rest
    setattr(out.blocks[number], way, target)
    out.prune()
    return out


def _never(graph: Graph, flow: Flow, around: Surroundings, number: int) -> tuple[str, State, Term] | None:
    """The way out of a block that is never taken, the state there, and the entry that is always found."""
    block = graph.blocks[number]
    if block.taken is None or block.next == block.taken or (number,) not in flow.entries:
        return None
    held = state_at_end(graph, flow, around, number)
    if held is None:
        return None
    state, condition = held
    decided = of_entry(flow.values, condition, flow.entries[number,].facts)
    if decided is None:
        return None
    inner = condition.args[0] if condition.op == "not" else condition
    return "next" if decided else "taken", state, inner.args[0]


def _reached(graph: Graph, number: int, way: str) -> set[int]:
    """The blocks that the other way leads to."""
    block = graph.blocks[number]
    start = block.next if way == "taken" else block.taken
    assert start is not None
    seen, pending = {start}, [start]
    while pending:
        for item in graph.blocks[pending.pop()].successors:
            if item not in seen:
                seen.add(item)
                pending.append(item)
    return seen - {graph.entry}


def _fitting(
    graph: Graph, flow: Flow, around: Surroundings, live: Liveness, target: int, held: State, entry: Term
) -> int | None:
    """The first place in a block at which the verifier, which follows the way, would find in the registers what the code from
    there on makes of them."""
    if (target,) not in flow.entries:
        return None
    block, touches = graph.blocks[target], live.touches[target]
    alive = [live.live_out[target]]
    for touch in reversed(touches):
        alive.insert(0, alive[0] & ~touch.kills | touch.reads)
    state, events = flow.entries[target,].states[0].copy(), list[Event]()
    for position in range(len(block.nodes) + 1):
        if _fits(alive[position], held, state, entry):
            return position
        if position < len(block.nodes):
            flow.values.step(state, block.nodes[position], around, events, tag_of((target,)))
    return None


def _fits(alive: int, held: State, wanted: State, entry: Term) -> bool:
    if alive & ~REGISTERS & ~_written(held):
        return False
    for register in range(10):
        if not alive >> register & 1:
            continue
        has, expected = held.regs[register], wanted.regs[register]
        if has is None or expected is None:
            return False
        if has is entry:  # NULL on this way
            if expected is entry or leading_zeros(expected) == 0:
                return False
        elif has is not expected and not (_is_number(has) and _is_number(expected)):
            return False
    return True


def _is_number(value: Term) -> bool:
    return value.is_const or leading_zeros(value) > 0


def _written(state: State) -> int:
    """The bytes of the stack that surely hold something, as a mask."""
    out = 0
    for at in state.stack:
        out |= stack_mask(at, at + 1)
    return out
