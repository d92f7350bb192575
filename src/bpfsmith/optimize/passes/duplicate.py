"""Ways that decide a later branch lead past it, also where there is code before that branch: the way gets its own copy.

    w7 = 1                       if w8 != 6 goto out
    if w8 != 6 goto test         r2 += r6
    w7 = 0                       ..
    test: r2 += r6
    if w7 != 0 goto out

What nobody needs on that way is not copied, so that the copy is often empty.
"""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.ir import ops
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.facts import Facts, known
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Block, Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness
from bpfsmith.optimize.passes.dead import needed_nodes
from bpfsmith.optimize.state import Event, State, TooHard
from bpfsmith.semantics.terms import Term

MAX_COPIED = 12
"""How many instructions of a block may be copied for a way into it."""

_DEPTH = 4
"""How many branches a way is followed through that do not matter on it."""


@dataclass(frozen=True, slots=True)
class Detour:
    """Ways into block `target`, as (block, "next" or "taken"), that may lead on to `leads_to` after `nodes`."""

    target: int
    leads_to: int
    ways: tuple[tuple[int, str], ...]
    nodes: tuple[Node, ...]
    alone: bool  # no other way into the block is left then

    @property
    def cost(self) -> int:
        """The slots that are gained, negative, or lost."""
        return sum(node.slots for node in self.nodes)


def detours(graph: Graph, flow: Flow, around: Surroundings) -> list[Detour]:
    """The ways that could lead past a branch, the cheapest first."""
    live = Liveness.of(graph, flow, around)
    found: dict[tuple[int, int], list[tuple[tuple[int, str], tuple[Node, ...]]]] = {}
    for (number,), edges in sorted(flow.edges.items()):
        block = graph.blocks.get(number)
        if block is None:
            continue
        for (target,), entry in edges:
            way = "next" if block.next == target else "taken"
            if target not in graph.blocks or block.next == block.taken:
                continue
            past = _past(graph, flow, around, live, target, entry.states[0].copy(), entry.facts, _DEPTH)
            if past is not None and past[0] != target:
                found.setdefault((target, past[0]), []).append(((number, way), past[1]))
    before = graph.predecessors()
    count: dict[int, int] = {}
    for (target, _), ways in found.items():
        count[target] = count.get(target, 0) + len(ways)
    out = []
    for (target, leads_to), ways in found.items():
        nodes = max((nodes for _, nodes in ways), key=len)
        alone = count[target] == len(before[target])
        out.append(Detour(target, leads_to, tuple(way for way, _ in ways), nodes, alone))
    return sorted(out, key=lambda item: (item.cost - 100 * item.alone, item.target, item.leads_to))


def _past(
    graph: Graph, flow: Flow, around: Surroundings, live: Liveness, number: int, state: State, facts: Facts, depth: int
) -> tuple[int, tuple[Node, ...]] | None:
    """Where a way into a block with this state surely ends up, and what has to be done on it."""
    block = graph.blocks[number]
    if depth == 0 or block.end is None or block.taken is None or block.next is None or len(block.nodes) > MAX_COPIED:
        return None
    if not isinstance(block.end.op, ops.Branch):
        return None
    events: list[Event] = []
    try:
        for node in block.nodes:
            flow.values.step(state, node, around, events, tag_of((number,)))
        condition = flow.values.condition(state, block.end.op)
    except TooHard:
        return None
    if events or state.stores:
        return None
    decided = known(flow.values, condition, facts)
    if decided is not None:
        leads_to = block.taken if decided else block.next
        return leads_to, _needed(graph, flow, around, live, number, leads_to)
    ends = []
    for way, held in ((block.taken, condition), (block.next, flow.values.t.negate(condition))):
        past = _past(graph, flow, around, live, way, state.copy(), facts | {held}, depth - 1)
        ends.append((way, ()) if past is None else past)
    if ends[0][0] != ends[1][0] or ends[0][1] or ends[1][1]:
        return None
    nodes = _needed(graph, flow, around, live, number, ends[0][0])
    return None if nodes else (ends[0][0], nodes)


def _needed(graph: Graph, flow: Flow, around: Surroundings, live: Liveness, number: int, leads_to: int) -> tuple[Node, ...]:
    """The instructions of a block whose effect somebody looks at on the way to `leads_to`."""
    block = graph.blocks[number]
    return needed_nodes(block.nodes, live.touches[number], live.live_in[leads_to])


def skip_useless(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> bool:
    """Removes branches one way of which ends up, by way of the other, where it leads anyhow: a test of 14 bytes of a packet
    before one of 34 that leads to the same place."""
    changed = False
    live = Liveness.of(graph, flow, around)
    for number in graph.order():
        block = graph.blocks.get(number)
        if block is None or block.end is None or block.taken is None or block.next is None or block.next == block.taken:
            continue
        for way, other in ((block.taken, block.next), (block.next, block.taken)):
            if _accesses_memory(graph.blocks[other]) or (number,) not in flow.entries:
                continue
            held = state_at_end(graph, flow, around, number)
            if held is None:
                continue
            state, condition = held
            fact = condition if way == block.taken else flow.values.t.negate(condition)
            facts = flow.entries[number,].facts | {fact}
            past = _past(graph, flow, around, live, other, state, facts, _DEPTH)
            if past != (way, ()) or not ledger.allows("useless-branch", block.end.insn.span, "a later one decides the same"):
                continue
            block.end, block.next, block.taken = None, other, None
            changed = True
            break
    graph.prune()
    return changed


def _accesses_memory(block: Block) -> bool:
    return any(isinstance(node.op, ops.Load | ops.Store | ops.Atomic) for node in block.nodes)


def state_at_end(graph: Graph, flow: Flow, around: Surroundings, number: int) -> tuple[State, Term] | None:
    """What a block's registers and memory hold before its branch, and whether that is taken."""
    block = graph.blocks[number]
    if block.end is None or not isinstance(block.end.op, ops.Branch):
        return None
    state, events = flow.entries[number,].states[0].copy(), list[Event]()
    try:
        for node in block.nodes:
            flow.values.step(state, node, around, events, tag_of((number,)))
        condition = flow.values.condition(state, block.end.op)
    except TooHard:
        return None
    flow.values.flush(state, events)
    return state, condition


def take(graph: Graph, detour: Detour, ledger: Ledger) -> Graph | None:
    """The graph with the ways of the detour led past the branch."""
    end = graph.blocks[detour.target].end
    words = f"{len(detour.ways)} ways here decide the branch; {len(detour.nodes)} instructions are copied"
    if end is None or not ledger.allows("path-splitting", end.insn.span, words):
        return None
    out = graph.copy()
    leads_to = detour.leads_to
    if detour.nodes:
        leads_to = out.fresh()
        out.blocks[leads_to] = Block(list(detour.nodes), None, detour.leads_to)
    for number, way in detour.ways:
        setattr(out.blocks[number], way, leads_to)
    out.prune()
    return out
