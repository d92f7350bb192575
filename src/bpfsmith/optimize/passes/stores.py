"""Fewer and wider stores: those to neighbouring places become one.

    r3 = *(u16 *)(r1 +6)               r4 = *(u32 *)(r1 +6)
    *(u16 *)(r1 +0) = r3               ..
    r3 = *(u16 *)(r1 +8)        ->
    ..
    *(u16 *)(r1 +2) = r3               *(u32 *)(r1 +0) = r4

Alignment as in `words`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.ir import ops
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize import make
from bpfsmith.optimize.effects import HELPER_EFFECTS, Surroundings, defines, is_call, is_pure
from bpfsmith.optimize.flow import Flow
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness, Touch, stack_mask, touches_of
from bpfsmith.optimize.passes.dead import remove_dead
from bpfsmith.optimize.passes.words import find_word, walk
from bpfsmith.optimize.state import State
from bpfsmith.semantics.terms import Term

MAX_DISTANCE = 60
"""How many instructions may lie between stores that are joined."""

MAX_JOINED = 200
"""How many joins are made in one block and round."""


@dataclass(frozen=True, slots=True)
class _Store:
    position: int
    root: Term
    offset: int
    size: int
    register: int | None  # what is stored, None: a number

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class _Joined:
    """One store for a group: the instructions that take the place of the one at `position`, and those that are put in before
    `ahead`; `gone` are positions of what nobody needs then."""

    position: int
    nodes: list[Node]
    ahead: int = 0
    before: tuple[Node, ...] = ()
    gone: frozenset[int] = frozenset()


def merge_stores(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> bool:
    """Joins stores to neighbouring places into one at the place of one of them."""
    live = Liveness.of(graph, flow, around)
    changed = False
    for number in graph.order():
        if (number,) in flow.entries:
            refused: set[tuple[object, ...]] = set()
            for _ in range(MAX_JOINED):
                if not _Joiner(graph, flow, around, ledger, live, number, refused).run():
                    break
                changed = True
    return changed


@dataclass(slots=True)
class _Joiner:
    graph: Graph
    flow: Flow
    around: Surroundings
    ledger: Ledger
    live: Liveness
    number: int
    refused: set[tuple[object, ...]]  # groups that the ledger does not allow

    def run(self) -> bool:
        """Makes one join; the next run sees what is left."""
        block = self.graph.blocks[self.number]
        if sum(isinstance(node.op, ops.Store) for node in block.nodes) < 2:
            return False
        states = [before for before, _, _ in walk(self.graph, self.flow, self.around, self.number)]
        touches = touches_of(self.graph, self.flow, self.around, self.number)
        stores = [found for at, node in enumerate(block.nodes) if (found := self._store(at, node, states[at]))]
        for size in (8, 4, 2):
            for group in self._groups(stores, size):
                if self._join(group, size, states, touches):
                    return True
        return False

    def _join(self, group: list[_Store], size: int, states: list[State], touches: list[Touch]) -> bool:
        block = self.graph.blocks[self.number]
        key = tuple(block.nodes[item.position] for item in group)
        if key in self.refused:
            return False
        value = self._value(group, states)
        if value is None:
            return False
        for position in sorted((item.position for item in group), reverse=True):
            if not self._can_meet(group, position, states, touches):
                continue
            joined = self._joined(group, size, value, position, states, touches)
            if joined is None:
                continue
            nodes = self._with(joined, group)
            if (joined.before or len(joined.nodes) > 1) and not self._is_shorter(nodes):
                continue
            span = block.nodes[group[0].position].insn.span
            if not self.ledger.allows("store-merging", span, f"{len(group)} stores as one of {size} bytes"):
                self.refused.add(key)
                return False
            block.nodes = nodes
            return True
        return False

    def _with(self, joined: _Joined, group: list[_Store]) -> list[Node]:
        gone = {item.position for item in group} | joined.gone
        out: list[Node] = []
        for position, node in enumerate(self.graph.blocks[self.number].nodes):
            if joined.before and position == joined.ahead:
                out += joined.before
            if position == joined.position:
                out += joined.nodes
            elif position not in gone:
                out.append(node)
        return out

    def _is_shorter(self, nodes: list[Node]) -> bool:
        trial = self.graph.copy()
        trial.blocks[self.number].nodes = nodes
        remove_dead(trial, self.flow, self.around, Ledger())
        bare = self.graph.copy()
        remove_dead(bare, self.flow, self.around, Ledger())
        return trial.slots() < bare.slots()

    # --- groups -------------------------------------------------------------------------------------------------------
    def _store(self, position: int, node: Node, state: State) -> _Store | None:
        op = node.op
        if not isinstance(op, ops.Store) or op.release or node.relo is not None:
            return None
        address = state.regs[op.base]
        if address is None:
            return None
        root, offset = self.flow.values.place(address)
        if "ctx" in self.flow.values.kinds.of(root):
            return None
        return _Store(position, root, offset + op.offset, op.size, None if isinstance(op.src, ops.Imm) else op.src)

    def _groups(self, stores: list[_Store], size: int) -> Iterator[list[_Store]]:
        """Sets of stores that fill `size` bytes exactly, lowest first."""
        for first in sorted(stores, key=lambda item: (item.root.ident, item.offset, item.position)):
            on_stack = first.root.op == "app" and first.root.name == "fp"
            if first.size >= size or (on_stack and first.offset % size):
                continue
            near = [item for item in stores if item.root is first.root and abs(item.position - first.position) <= MAX_DISTANCE]
            group = self._fill(near, first, size)
            if group is not None and len(group) > 1:
                yield group

    @staticmethod
    def _fill(near: list[_Store], first: _Store, size: int) -> list[_Store] | None:
        group, at, end = [first], first.end, first.offset + size
        while at < end:
            following = [item for item in near if item.offset == at and item.end <= end and item not in group]
            if not following:
                return None
            nearest = min(following, key=lambda item: abs(item.position - group[-1].position))
            group.append(nearest)
            at += nearest.size
        return group if at == end else None

    def _value(self, group: list[_Store], states: list[State]) -> Term | None:
        """What the group stores, lowest byte first, as one number."""
        t = self.flow.values.t
        parts: list[Term] = []
        for item in group:
            op = self.graph.blocks[self.number].nodes[item.position].op
            assert isinstance(op, ops.Store)
            stored = t.const(64, op.src.value) if isinstance(op.src, ops.Imm) else states[item.position].regs[op.src]
            if stored is None:
                return None
            parts.append(t.extract(stored, 64, 8 * item.size - 1, 0))
        return t._concat(parts[::-1])

    # --- one store for all --------------------------------------------------------------------------------------------
    def _joined(
        self, group: list[_Store], size: int, value: Term, position: int, states: list[State], touches: list[Touch]
    ) -> _Joined | None:
        """The store at `position`, if what it stores is at hand there or can be loaded."""
        values, t = self.flow.values, self.flow.values.t
        node = self.graph.blocks[self.number].nodes[position]
        here = next(item for item in group if item.position == position)
        offset = node.insn.offset + group[0].offset - here.offset
        base, span = node.insn.dst_reg, node.insn.span
        if not make.fits_signed(offset, 16):
            return None
        if value.is_const:
            short = make.store_immediate(Insn(0, base, 0, offset, span=span), value.number, size)
            if short is not None:
                return _Joined(position, [Node(short)])
            free = self._free(group, position, position, base, touches)
            if free is None or size < 8 or len(group) < 4:
                return None
            wide = Insn(isa.BPF_LD | isa.BPF_IMM | isa.BPF_DW, free[0], imm=make.signed64(value.number), span=span)
            return _Joined(position, [Node(wide), Node(make.store(base, offset, size, free[0], span))], gone=free[1])
        for register in range(10):
            held = states[position].regs[register]
            if held is not None and t.extract(held, 64, 8 * size - 1, 0) is value:
                return _Joined(position, [Node(make.store(base, offset, size, register, span))])
        parts = [t.extract(value, 8 * size, 8 * i + 7, 8 * i) for i in range(size)]
        for ahead in range(position, max(position - MAX_DISTANCE, -1), -1):
            word = find_word(values, states[ahead], parts)
            if word is None:
                continue
            free = self._free(group, ahead, position, base, touches)
            if free is None:
                continue
            loaded = Node(make.load(free[0], word.register, word.offset, size, span))
            stored = Node(make.store(base, offset, size, free[0], span))
            return _Joined(position, [stored], ahead, (loaded,), free[1])
        return None

    def _free(
        self, group: list[_Store], first: int, last: int, base: int, touches: list[Touch]
    ) -> tuple[int, frozenset[int]] | None:
        """A register that nobody needs from `first` to `last`, and the positions of what is made in it there for the stores of
        the group alone."""
        nodes = self.graph.blocks[self.number].nodes
        inside = {item.position for item in group}
        alive_after = [0] * len(touches)
        alive = self.live.live_out[self.number]
        for position in range(len(touches) - 1, -1, -1):
            alive_after[position] = alive
            if position not in inside:
                alive = alive & ~touches[position].kills | touches[position].reads
            elif position == last:
                alive |= 1 << base
        busy = alive if first == 0 else alive_after[first - 1]
        for position in range(first, last + 1):
            busy |= alive_after[position]
        for register in [*range(6), *range(6, 10)]:
            if busy >> register & 1 or (register >= 6 and not self._is_used(register)):
                continue
            makers = [at for at in range(first, last + 1) if at not in inside and register in defines(nodes[at].op)]
            if all(is_pure(nodes[at].op) for at in makers):
                return register, frozenset(makers)
        return None

    def _is_used(self, register: int) -> bool:
        return any(register in defines(node.op) for node in self.graph.nodes())

    # --- may they meet? -----------------------------------------------------------------------------------------------
    def _can_meet(self, group: list[_Store], meeting: int, states: list[State], touches: list[Touch]) -> bool:
        """May each store of the group happen where the one at `meeting` does?"""
        inside = {item.position for item in group}
        for item in group:
            first, last = min(item.position, meeting), max(item.position, meeting)
            for position in range(first + 1, last):
                if position not in inside and not self._is_apart(item, position, states, touches):
                    return False
        return True

    def _is_apart(self, item: _Store, position: int, states: list[State], touches: list[Touch]) -> bool:
        """Does the instruction at `position` neither look at what the store writes nor write there?"""
        node, values = self.graph.blocks[self.number].nodes[position], self.flow.values
        op = node.op
        on_stack = item.root.op == "app" and item.root.name == "fp"
        if is_call(op) or isinstance(op, ops.Atomic):
            touch = touches[position]
            touched = (touch.reads | touch.kills) & stack_mask(item.offset, item.end)
            return on_stack and not touched and not isinstance(op, ops.Atomic) and not _may_write(op)
        if isinstance(op, ops.Load | ops.Store):
            address = states[position].regs[op.base]
            if node.relo is not None or address is None:
                return False
            other, at = values.place(address)
            at += op.offset
            if other is item.root:
                return at >= item.end or item.offset >= at + op.size
            return not values.kinds.may_overlap(item.root, other)
        return True


def _may_write(op: ops.Op) -> bool:
    """A call between two stores to the stack: only helpers whose reach is known let a store wait."""
    effect = HELPER_EFFECTS.get(op.helper_id) if isinstance(op, ops.CallHelper) else None
    return effect is None or any(item.kind not in ("u32", "u64", "ctx", "map", "in") for item in effect.arguments)
