"""The passes over one function, round and round until none finds anything."""

from __future__ import annotations

from collections.abc import Callable

from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.flow import Flow
from bpfsmith.optimize.graph import Graph
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.passes import control
from bpfsmith.optimize.passes.registers import coalesce
from bpfsmith.optimize.passes.dead import remove_dead
from bpfsmith.optimize.passes.simplify import simplify
from bpfsmith.optimize.values import Values

MAX_ROUNDS = 12

Pass = Callable[[Graph, Flow, Surroundings, Ledger], bool]


def analysed(graph: Graph, around: Surroundings) -> Flow:
    return Flow(Values(), ((graph, around),)).run()


def optimise(graph: Graph, around: Surroundings, ledger: Ledger) -> Graph:
    """The best form that the passes reach. Raises `TooHard` when the function cannot be analysed."""
    graph = graph.copy()
    control.clean(graph, ledger)
    best, best_slots = graph.copy(), graph.slots()
    for _ in range(MAX_ROUNDS):
        changed = simplify(graph, analysed(graph, around), around, ledger)
        changed |= control.clean(graph, ledger)
        changed |= remove_dead(graph, analysed(graph, around), around, ledger)
        changed |= control.thread(graph, analysed(graph, around), ledger)
        changed |= control.clean(graph, ledger)
        changed |= coalesce(graph, analysed(graph, around), around, ledger)
        changed |= control.hoist(graph, around, ledger)
        changed |= control.merge_same(graph, ledger)
        changed |= control.merge_tails(graph, ledger)
        control.clean(graph, ledger)
        if graph.slots() <= best_slots:
            best, best_slots = graph.copy(), graph.slots()
        if not changed:
            break
    return best
