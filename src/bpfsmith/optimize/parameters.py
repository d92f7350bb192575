"""Which of r1..r5 each subprogram of an object reads: what a caller must keep for it."""

from __future__ import annotations

from bpfsmith.objfile.object import Object
from bpfsmith.optimize.effects import ARGUMENTS, Surroundings, defines, uses
from bpfsmith.optimize.graph import Graph, Irregular


def parameters(obj: Object) -> dict[str, tuple[int, ...]]:
    """The argument registers that are live at the entry of each function. The least fixed point over calls among them; all
    five for a function that cannot be read."""
    graphs: dict[str, Graph] = {}
    read: dict[str, tuple[int, ...]] = {}
    for name, function in obj.functions.items():
        try:
            graphs[name] = Graph.of(name, function.insns, function.core_relos)
            read[name] = ()
        except Irregular:
            read[name] = ARGUMENTS
    changed = True
    while changed:
        changed = False
        for name, graph in graphs.items():
            live = _live_at_entry(graph, Surroundings(parameters=read))
            found = tuple(register for register in ARGUMENTS if live >> register & 1)
            if found != read[name]:
                read[name], changed = found, True
    return read


def _live_at_entry(graph: Graph, around: Surroundings) -> int:
    live = dict.fromkeys(graph.blocks, 0)
    order = graph.order()[::-1]
    changed = True
    while changed:
        changed = False
        for number in order:
            block = graph.blocks[number]
            mask = 0
            for successor in block.successors:
                mask |= live[successor]
            for node in reversed([*block.nodes, *([block.end] if block.end else [])]):
                for register in defines(node.op):
                    mask &= ~(1 << register)
                for register in uses(node, around):
                    mask |= 1 << register
            if mask != live[number]:
                live[number], changed = mask, True
    return live[graph.entry]
