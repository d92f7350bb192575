"""Register allocation done again, as far as it removes moves.

A web is what one register holds from its definitions to the uses that they reach. Two webs interfere where one is defined while
the other is live and holds something else; a move between webs that do not interfere goes when both get one register. Calls
fix the webs of their arguments and results, and whatever lives across a call stays out of r0..r5.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bpfsmith.ir import ops
from bpfsmith.ir.ops import AluKind
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize.effects import Surroundings, defines, is_call, uses
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness
from bpfsmith.optimize.state import Event
from bpfsmith.semantics.terms import Term

COLOURS = range(10)


@dataclass(slots=True)
class Webs:
    """A union-find over definitions: `colour` is the register of each root, `fixed` those that must keep it, `barred` the
    registers that a web may not have, `apart` the webs it interferes with."""

    parent: list[int] = field(default_factory=list)
    colour: dict[int, int] = field(default_factory=dict)
    fixed: set[int] = field(default_factory=set)
    barred: dict[int, set[int]] = field(default_factory=dict)
    apart: dict[int, set[int]] = field(default_factory=dict)

    def new(self, register: int) -> int:
        number = len(self.parent)
        self.parent.append(number)
        self.colour[number] = register
        return number

    def find(self, number: int) -> int:
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def union(self, a: int, b: int) -> None:
        a, b = self.find(a), self.find(b)
        if a == b:
            return
        self.parent[b] = a
        if b in self.fixed:
            self.fixed.discard(b)
            self.fixed.add(a)
            self.colour[a] = self.colour[b]
        self.barred.setdefault(a, set()).update(self.barred.pop(b, ()))
        for other in self.apart.pop(b, set()):
            self.apart[other].discard(b)
            self.apart[other].add(a)
            self.apart.setdefault(a, set()).add(other)

    def interfere(self, a: int, b: int) -> None:
        a, b = self.find(a), self.find(b)
        if a != b:
            self.apart.setdefault(a, set()).add(b)
            self.apart.setdefault(b, set()).add(a)

    def allowed(self, web: int) -> list[int]:
        """The registers that the web could have as its neighbours are coloured now."""
        taken = {self.colour[other] for other in self.apart.get(web, ())}
        return [c for c in COLOURS if c not in taken and c not in self.barred.get(web, ())]


@dataclass(slots=True)
class _Block:
    """For each node (the end last) the web of each register it reads and writes explicitly, and of those it touches anyhow."""

    reads: list[dict[int, int]] = field(default_factory=list)
    writes: list[dict[int, int]] = field(default_factory=list)


def coalesce(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> bool:
    """Removes moves between webs that can share a register."""
    live = Liveness.of(graph, flow, around)
    webs, blocks = _webs(graph, around, live)
    _interference(graph, flow, around, live, webs, blocks)
    merged = False
    moves = [
        (number, position)
        for number in sorted(graph.blocks)
        for position, node in enumerate(graph.blocks[number].nodes)
        if _is_move(node)
    ]
    for number, position in moves:
        node = graph.blocks[number].nodes[position]
        source = webs.find(blocks[number].reads[position][node.insn.src_reg])
        target = webs.find(blocks[number].writes[position][node.insn.dst_reg])
        if source == target or target in webs.apart.get(source, ()):
            continue
        choice = _choice(webs, source, target)
        if choice is None:
            continue
        colour, recoloured = choice
        if not ledger.allows("coalescing", node.insn.span, f"r{node.insn.dst_reg} and r{node.insn.src_reg} share a register"):
            continue
        for web, new in recoloured:
            webs.colour[web] = new
        webs.union(source, target)
        webs.colour[webs.find(source)] = colour
        merged = True
    if merged:
        _rename(graph, webs, blocks)
    return merged


def _is_move(node: Node) -> bool:
    op = node.op
    return (
        isinstance(op, ops.Alu)
        and op.kind is AluKind.MOV
        and op.width == 64
        and not isinstance(op.src, ops.Imm)
        and op.src < 10
    )


def _choice(webs: Webs, a: int, b: int) -> tuple[int, list[tuple[int, int]]] | None:
    """A register for both webs together, and the neighbours that must move away for it with where to."""
    if a in webs.fixed and b in webs.fixed and webs.colour[a] != webs.colour[b]:
        return None
    barred = webs.barred.get(a, set()) | webs.barred.get(b, set())
    neighbours = webs.apart.get(a, set()) | webs.apart.get(b, set())
    wanted = [webs.colour[web] for web in (a, b) if web in webs.fixed] or [webs.colour[a], webs.colour[b], *COLOURS]
    wanted = [colour for colour in dict.fromkeys(wanted) if colour not in barred]
    for colour in wanted:
        if all(webs.colour[other] != colour for other in neighbours):
            return colour, []
    for colour in wanted:
        moves: list[tuple[int, int]] = []
        for other in sorted(item for item in neighbours if webs.colour[item] == colour):
            if other in webs.fixed:
                break
            taken = {webs.colour[item] for item in webs.apart.get(other, ())} | {new for _, new in moves} | {colour}
            free = [c for c in COLOURS if c not in taken and c not in webs.barred.get(other, ())]
            if not free:
                break
            moves.append((other, free[0]))
        else:
            return colour, moves
    return None


def _explicit(node: Node) -> tuple[list[int], list[int]]:
    """The registers that the instruction's own fields read and write."""
    insn = node.insn
    match node.op:
        case ops.Alu(kind=AluKind.MOV, src=src):
            return ([] if isinstance(src, ops.Imm) else [src]), [insn.dst_reg]
        case ops.Alu(src=src):
            return [insn.dst_reg] + ([] if isinstance(src, ops.Imm) else [src]), [insn.dst_reg]
        case ops.Negate() | ops.ByteOrder():
            return [insn.dst_reg], [insn.dst_reg]
        case ops.MoveSigned() | ops.Load():
            return [insn.src_reg], [insn.dst_reg]
        case ops.LoadImm() | ops.LoadMap() | ops.LoadMapValue() | ops.LoadFunction() | ops.LoadSymbol():
            return [], [insn.dst_reg]
        case ops.Store(src=src):
            return [insn.dst_reg] + ([] if isinstance(src, ops.Imm) else [insn.src_reg]), []
        case ops.Atomic(fetch=fetch, kind=kind):
            writes = [insn.src_reg] if fetch and kind is not ops.AtomicKind.CMPXCHG else []
            return [insn.dst_reg, insn.src_reg], writes
        case ops.Branch(right=right):
            return [insn.dst_reg] + ([] if isinstance(right, ops.Imm) else [insn.src_reg]), []
        case _:
            return [], []


def _webs(graph: Graph, around: Surroundings, live: Liveness) -> tuple[Webs, dict[int, _Block]]:
    webs = Webs()
    at_start = {number: {r: webs.new(r) for r in range(11)} for number in graph.blocks}
    at_end: dict[int, dict[int, int]] = {}
    blocks: dict[int, _Block] = {}
    for number, block in graph.blocks.items():
        current = dict(at_start[number])
        found = blocks[number] = _Block()
        for node in [*block.nodes, *([block.end] if block.end else [])]:
            explicit_reads, explicit_writes = _explicit(node)
            reads = {register: current[register] for register in {*uses(node, around), *explicit_reads}}
            for register in set(uses(node, around)) - set(explicit_reads):
                webs.fixed.add(webs.find(current[register]))
            writes: dict[int, int] = {}
            for register in defines(node.op):
                writes[register] = webs.new(register)
                if register not in explicit_writes:
                    webs.fixed.add(writes[register])
                elif register in explicit_reads and _is_tied(node, register):
                    webs.union(current[register], writes[register])
                current[register] = writes[register]
            found.reads.append(reads)
            found.writes.append(writes)
        at_end[number] = current
    for register in range(11):
        webs.fixed.add(webs.find(at_start[graph.entry][register]))
        for number, block in graph.blocks.items():
            if register == 10:
                webs.union(at_start[graph.entry][10], at_start[number][10])
            for successor in block.successors:
                if live.live_in[successor] >> register & 1:
                    webs.union(at_start[successor][register], at_end[number][register])
    webs.fixed = {webs.find(number) for number in webs.fixed}
    return webs, blocks


def _is_tied(node: Node, register: int) -> bool:
    """Does the instruction write the register that it reads, by its one dst field (or an atomic's src)?"""
    if isinstance(node.op, ops.Load | ops.MoveSigned):
        return False
    return not (isinstance(node.op, ops.Alu) and node.op.kind is AluKind.MOV)


def _interference(
    graph: Graph, flow: Flow, around: Surroundings, live: Liveness, webs: Webs, blocks: dict[int, _Block]
) -> None:
    at_end = _webs_at_end(graph, webs, blocks)
    for number, block in graph.blocks.items():
        entry = flow.entries.get((number,))
        nodes = [*block.nodes, *([block.end] if block.end else [])]
        held: list[list[Term | None]] = []
        if entry is not None:
            state = entry.states[0].copy()
            events: list[Event] = []
            for node in block.nodes:
                flow.values.step(state, node, around, events, tag_of((number,)))
                held.append(list(state.regs))
        alive = {register: at_end[number][register] for register in range(10) if live.live_out[number] >> register & 1}
        for position in range(len(nodes) - 1, -1, -1):
            node, found = nodes[position], blocks[number]
            values = held[position] if position < len(held) else None
            for register, web in found.writes[position].items():
                alive_after = {r: w for r, w in alive.items() if r not in found.writes[position]}
                for other_register, other in alive_after.items():
                    if is_call(node.op) and register < 6:
                        webs.barred.setdefault(webs.find(other), set()).update(range(6))
                    elif values is None or values[register] is None or values[register] is not values[other_register]:
                        webs.interfere(web, other)
                for other_register, other in found.writes[position].items():
                    if other != web and other_register in alive and not is_call(node.op):
                        webs.interfere(web, other)
            for register in found.writes[position]:
                alive.pop(register, None)
            for register, web in found.reads[position].items():
                if register < 10:
                    alive[register] = web
        if number == graph.entry:
            entering = list(alive.values())
            for index, web in enumerate(entering):
                for other in entering[index + 1 :]:
                    webs.interfere(web, other)


def _webs_at_end(graph: Graph, webs: Webs, blocks: dict[int, _Block]) -> dict[int, dict[int, int]]:
    """The web of each register at the end of each block."""
    out: dict[int, dict[int, int]] = {}
    size = 11
    for index, number in enumerate(graph.blocks):
        current = {register: index * size + register for register in range(size)}  # as `_webs` numbered them
        for writes in blocks[number].writes:
            current.update(writes)
        out[number] = current
    return out


def _rename(graph: Graph, webs: Webs, blocks: dict[int, _Block]) -> None:
    for number, block in graph.blocks.items():
        found = blocks[number]
        kept: list[Node] = []
        for position, node in enumerate(block.nodes):
            new = _renamed(node, webs, found.reads[position], found.writes[position])
            if _is_move(new) and new.insn.dst_reg == new.insn.src_reg:
                continue
            kept.append(new)
        if block.end is not None:
            block.end = _renamed(block.end, webs, found.reads[-1], found.writes[-1])
        block.nodes = kept


def _renamed(node: Node, webs: Webs, reads: dict[int, int], writes: dict[int, int]) -> Node:
    insn = node.insn

    def colour(found: dict[int, int], register: int) -> int:
        return webs.colour[webs.find(found[register])]

    new: Insn = insn
    explicit_reads, explicit_writes = _explicit(node)
    if not explicit_reads and not explicit_writes:
        return node
    match node.op:
        case (
            ops.Alu()
            | ops.Negate()
            | ops.ByteOrder()
            | ops.LoadImm()
            | ops.LoadMap()
            | ops.LoadMapValue()
            | ops.LoadFunction()
            | ops.LoadSymbol()
        ):
            new = replace(new, dst_reg=colour(writes, insn.dst_reg))
            if isinstance(node.op, ops.Alu) and not isinstance(node.op.src, ops.Imm):
                new = replace(new, src_reg=colour(reads, insn.src_reg))
        case ops.MoveSigned() | ops.Load():
            new = replace(new, dst_reg=colour(writes, insn.dst_reg), src_reg=colour(reads, insn.src_reg))
        case ops.Store(src=src):
            new = replace(new, dst_reg=colour(reads, insn.dst_reg))
            if not isinstance(src, ops.Imm):
                new = replace(new, src_reg=colour(reads, insn.src_reg))
        case ops.Atomic():
            new = replace(new, dst_reg=colour(reads, insn.dst_reg), src_reg=colour(reads, insn.src_reg))
        case ops.Branch(right=right):
            new = replace(new, dst_reg=colour(reads, insn.dst_reg))
            if not isinstance(right, ops.Imm):
                new = replace(new, src_reg=colour(reads, insn.src_reg))
        case _:
            pass
    return replace(node, insn=new) if new != insn else node
