"""A pair whose state is made of what the way out is given again: both halves in the program of the way out.

fexit sees the arguments of the call, and the thread is the same. An entry that keeps nothing but these, and decides by nothing
else, can be run at the exit, in front of what the exit does: no map, and one program less at the function.
"""

from __future__ import annotations

from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize.graph import Block, Graph, Node
from bpfsmith.optimize.make import load, move, store
from bpfsmith.trace.provenance import Touch
from bpfsmith.trace.rewriting import (
    BPF_ANY,
    FP,
    STACK_BYTES,
    Marked,
    Refused,
    copied,
    doubled,
    frame_bytes,
    in_own_frame,
    number,
    sites,
)


def reread(name: str, entry: Graph, entry_marks: Marked, exit_: Graph, exit_marks: Marked, value_bytes: int) -> Graph:
    """The entry, and behind it, where it would have left something, the exit, with the value on the stack. Refused where there
    is no room for it, or where the exit asks the map for more than the value."""
    frame = max(frame_bytes(entry), frame_bytes(exit_))
    context, value = -(frame + 8), -(frame + 8 + (value_bytes + 7) // 8 * 8)
    if -value > STACK_BYTES:
        raise Refused(f"{name} leaves no room on the stack")
    first, behind = doubled(entry, entry_marks)
    first = _kept(first, entry_marks, value, value_bytes)
    last = _taken(exit_, exit_marks, value)
    spare = max(first.spare, *first.blocks) + 1
    renumber = {old: spare + 1 + index for index, old in enumerate(last.blocks)}
    out = Graph(name, {n: block.copy() for n, block in first.blocks.items()}, first.entry, spare + len(renumber) + 1)
    for old, block in last.blocks.items():
        moved = block.copy()
        moved.next = renumber[block.next] if block.next is not None else None
        moved.taken = renumber[block.taken] if block.taken is not None else None
        out.blocks[renumber[old]] = moved
    for number_ in first.blocks:
        block = out.blocks[number_]
        if not block.is_exit:
            continue
        span = block.end.insn.span if block.end else None
        if number_ in behind:
            block.nodes.append(Node(load(1, FP, context, 8, span)))
            block.end, block.next = None, renumber[last.entry]
        else:
            block.nodes.append(number(0, 0, span))
    head = out.fresh()
    out.blocks[head] = Block([Node(store(FP, context, 8, 1, None))], None, out.entry)
    out.entry = head
    return out


def _kept(graph: Graph, marks: Marked, value: int, value_bytes: int) -> Graph:
    """Updates as copies to the stack."""
    graph = graph.copy()
    for site in sites(graph, marks):
        nodes = graph.blocks[site.block].nodes
        span = nodes[site.position].insn.span
        if site.use.touch is not Touch.UPDATE or site.use.flags != BPF_ANY:
            raise Refused("the entry does more with its map than to update it")
        given = site.use.value
        source, at = (FP, given.number) if in_own_frame(site.use) and given is not None else (3, 0)
        target = [Node(move(1, FP, span)), Node(Insn(isa.BPF_ALU64 | isa.BPF_ADD | isa.BPF_K, 1, imm=value, span=span))]
        nodes[site.position : site.position + 1] = [*target, *copied(source, at, 1, value_bytes, span), number(0, 0, span)]
    return graph


def _taken(graph: Graph, marks: Marked, value: int) -> Graph:
    """Lookups as the address of the value on the stack; nothing is left to be deleted."""
    graph = graph.copy()
    for site in sites(graph, marks):
        nodes = graph.blocks[site.block].nodes
        span = nodes[site.position].insn.span
        add = Insn(isa.BPF_ALU64 | isa.BPF_ADD | isa.BPF_K, 0, imm=value, span=span)
        there = [Node(move(0, FP, span)), Node(add)]
        nodes[site.position : site.position + 1] = there if site.use.touch is Touch.LOOKUP else [number(0, 0, span)]
    return graph
