"""Blocks and jumps: empty ones, chains, branches that the way to them decides, code that is there twice."""

from __future__ import annotations

from itertools import combinations

from bpfsmith.ir import ops
from bpfsmith.optimize.effects import Surroundings, defines, is_call, uses
from bpfsmith.optimize.facts import known
from bpfsmith.optimize.flow import Flow
from bpfsmith.optimize.graph import Block, Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.state import TooHard


def clean(graph: Graph, ledger: Ledger) -> bool:
    """Empty blocks, branches with one target, chains of blocks. Costs nothing, so it is not asked for."""
    changed = False
    for number, block in graph.blocks.items():
        for way in ("next", "taken"):
            target = getattr(block, way)
            seen = {number}
            while target is not None and target not in seen:
                seen.add(target)
                other = graph.blocks[target]
                if other.nodes or other.end is not None or other.next is None:
                    break
                target = other.next
            if target != getattr(block, way):
                setattr(block, way, target)
                changed = True
        if block.taken is not None and block.taken == block.next and isinstance(block.end and block.end.op, ops.Branch):
            block.end, block.taken = None, None
            changed = True
    graph.prune()
    before = graph.predecessors()
    for number in graph.order():
        if number not in graph.blocks:
            continue
        block = graph.blocks[number]
        while block.end is None and block.next is not None:
            target = block.next
            if target == number or target == graph.entry or len(before[target]) != 1:
                break
            other = graph.blocks.pop(target)
            block.nodes, block.end, block.next, block.taken = block.nodes + other.nodes, other.end, other.next, other.taken
            for successor in other.successors:
                before[successor] = [number if item == target else item for item in before[successor]]
            changed = True
    return changed


def thread(graph: Graph, flow: Flow, ledger: Ledger) -> bool:
    """A way into a block that does nothing but branch, where the way decides the branch, leads on at once."""
    changed = False
    for (number,), edges in sorted(flow.edges.items()):
        block = graph.blocks.get(number)
        if block is None:
            continue
        for (target,), entry in edges:
            other = graph.blocks.get(target)
            if other is None or other.nodes or other.end is None or other.taken is None or target == number:
                continue
            if not isinstance(other.end.op, ops.Branch) or block.next == block.taken:
                continue
            try:
                condition = flow.values.condition(entry.states[0], other.end.op)
            except TooHard:
                continue
            decided = known(flow.values, condition, entry.facts)
            if decided is None:
                continue
            leads_to = other.taken if decided else other.next
            if leads_to == target or not ledger.allows(
                "jump-threading", other.end.insn.span, "the way here decides the branch"
            ):
                continue
            if block.next == target:
                block.next = leads_to
            elif block.taken == target:
                block.taken = leads_to
            changed = True
    graph.prune()
    return changed


def merge_same(graph: Graph, ledger: Ledger) -> bool:
    """Blocks that say the same and go on at the same place become one."""
    changed = False
    while True:
        seen: dict[tuple[object, ...], int] = {}
        into: dict[int, int] = {}
        for number in sorted(graph.blocks):
            block = graph.blocks[number]
            key = (tuple(block.nodes), block.end, block.next, block.taken)
            first = seen.setdefault(key, number)
            if first != number and number != graph.entry and (block.nodes or block.taken is not None):
                span = block.nodes[0].insn.span if block.nodes else None
                if ledger.allows("same-block", span, "the same code is elsewhere"):
                    into[number] = first
        if not into:
            return changed
        for block in graph.blocks.values():
            block.next = into.get(block.next, block.next) if block.next is not None else None
            block.taken = into.get(block.taken, block.taken) if block.taken is not None else None
        graph.prune()
        changed = True


def merge_tails(graph: Graph, ledger: Ledger) -> bool:
    """Blocks that end alike share the end, where that makes the program shorter."""
    changed = False
    size = graph.slots()
    for _ in range(200):
        found = _longest_tail(graph, ledger, size)
        if found is None:
            return changed
        size = found
        changed = True
    return changed


def _longest_tail(graph: Graph, ledger: Ledger, size: int) -> int | None:
    groups: dict[tuple[object, ...], list[int]] = {}
    for number in sorted(graph.blocks):
        block = graph.blocks[number]
        if block.nodes:
            groups.setdefault((block.end, block.next, block.taken, block.nodes[-1]), []).append(number)
    for members in sorted(groups.values(), key=lambda item: item[0]):
        if len(members) < 2:
            continue
        best = max(_common_tail(graph.blocks[a], graph.blocks[b]) for a, b in combinations(members, 2))
        for length in dict.fromkeys((best, min(best, _common_tail_of_all(graph, members)))):
            if not length:
                continue
            tails: dict[tuple[Node, ...], list[int]] = {}
            for number in members:
                nodes = graph.blocks[number].nodes
                if len(nodes) >= length:
                    tails.setdefault(tuple(nodes[-length:]), []).append(number)
            alike = max(tails.values(), key=len, default=[])
            if len(alike) < 2:
                continue
            trial = graph.copy()
            _share(trial, alike, length)
            clean(trial, ledger)
            if trial.slots() < size and ledger.allows(
                "tail-merging", graph.blocks[alike[0]].nodes[-1].insn.span, f"{length} instructions at {len(alike)} places"
            ):
                graph.blocks, graph.spare = trial.blocks, trial.spare
                return trial.slots()
    return None


def _common_tail_of_all(graph: Graph, members: list[int]) -> int:
    first = graph.blocks[members[0]]
    return min(_common_tail(first, graph.blocks[other]) for other in members[1:])


def _common_tail(a: Block, b: Block) -> int:
    length = 0
    while length < min(len(a.nodes), len(b.nodes)) and a.nodes[-1 - length] == b.nodes[-1 - length]:
        length += 1
    return length


def _share(graph: Graph, members: list[int], length: int) -> None:
    whole = next((number for number in members if len(graph.blocks[number].nodes) == length and number != graph.entry), None)
    if whole is None:
        first = graph.blocks[members[0]]
        whole = graph.fresh()
        graph.blocks[whole] = Block(first.nodes[-length:], first.end, first.next, first.taken)
    for number in members:
        if number != whole:
            block = graph.blocks[number]
            block.nodes, block.end, block.next, block.taken = block.nodes[:-length], None, whole, None


def hoist(graph: Graph, around: Surroundings, ledger: Ledger) -> bool:
    """What both ways of a branch begin with is done before it."""
    changed = False
    before = graph.predecessors()
    for number in sorted(graph.blocks):
        block = graph.blocks[number]
        if block.taken is None or block.end is None or block.next is None or block.next == block.taken:
            continue
        a, b = graph.blocks[block.next], graph.blocks[block.taken]
        if len(before[block.next]) != 1 or len(before[block.taken]) != 1 or graph.entry in block.successors:
            continue
        asked = set(uses(block.end, around))
        while a.nodes and b.nodes and a.nodes[0] == b.nodes[0]:
            op = a.nodes[0].op
            if is_call(op) or asked & set(defines(op)) or not isinstance(block.end.op, ops.Branch):
                break
            if isinstance(op, ops.Load | ops.Store | ops.Atomic) and not _safe_before(block.end):
                break
            if not ledger.allows("hoisting", a.nodes[0].insn.span, "both ways of the branch begin with it"):
                break
            block.nodes.append(a.nodes.pop(0))
            b.nodes.pop(0)
            changed = True
    return changed


def _safe_before(end: Node) -> bool:
    """Memory that is reached on both ways may be reached before the branch, unless the branch is what makes it safe; both
    ways reach it, so it is safe on both."""
    return isinstance(end.op, ops.Branch)
