"""Fewer and wider accesses: bytes that form a word are loaded as one, neighbours are stored as one.

Alignment is what the verifier asks on machines with efficient unaligned access (x86-64, arm64): the stack in its natural
alignment, the context as the kernel defines it (left alone), everything else at any address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.ir import ops
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize import make
from bpfsmith.optimize.effects import HELPER_EFFECTS, Surroundings, defines, is_call
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness, stack_mask
from bpfsmith.optimize.passes.dead import remove_dead
from bpfsmith.optimize.values import Event, State, Values
from bpfsmith.semantics.terms import Term, leading_zeros

MAX_DISTANCE = 60
"""How many instructions may lie between stores that are joined."""


# --- words in memory --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Word:
    """`size` bytes of memory at `register` + `offset`; in the other byte order if `swapped`."""

    register: int
    offset: int
    size: int
    swapped: bool = False


def _find_word(values: Values, state: State, parts: list[Term], barred: frozenset[int] = frozenset()) -> _Word | None:
    """Where these bytes (in address order) stand in memory, if a register leads there."""
    size = len(parts)
    for root, offset in _places(state, parts):
        on_stack = root.op == "app" and root.name == "fp"
        if "ctx" in values.kinds(root) or (on_stack and offset % size):
            continue
        for register in range(11):
            held = state.regs[register]
            if held is None or register in barred:
                continue
            other, start = values.place(held)
            if other is root and make.fits_signed(offset - start, 16):
                return _Word(register, offset - start, size)
    return None


def _places(state: State, parts: list[Term]) -> Iterator[tuple[Term, int]]:
    first = parts[0]
    if first.op == "app" and first.name == "m":
        root, at = first.args[0], make.signed64(first.args[1].number)
        if all(state.mem.get((root, at + i)) is part for i, part in enumerate(parts)):
            yield root, at
            return
    for (root, at), byte in state.mem.items():
        if byte is first and all(state.mem.get((root, at + i)) is part for i, part in enumerate(parts)):
            yield root, at
    fp = next((value for value in state.regs[10:] if value is not None), None)
    for at, byte in state.stack.items():
        if byte is first and fp is not None and all(state.stack.get(at + i) is part for i, part in enumerate(parts)):
            yield fp, at


def form_words(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> bool:
    """Replaces the last step of putting a word together from smaller loads by one load, where that is shorter."""
    size = graph.slots()
    changed = False
    for number in graph.order():
        entry = flow.entries.get((number,))
        if entry is None:
            continue
        position = 0
        for before, after, node in list(_walk(graph, flow, around, number)):
            new = _as_load(flow.values, before, after, node)
            if new is None or position >= len(graph.blocks[number].nodes):
                position += 1
                continue
            index = next((i for i, item in enumerate(graph.blocks[number].nodes) if item is node), None)
            position += 1
            if index is None:
                continue
            trial = graph.copy()
            trial.blocks[number].nodes[index : index + 1] = new
            remove_dead(trial, flow, around, Ledger())
            if trial.slots() >= size:
                continue
            if ledger.allows("word-load", node.insn.span, "bytes that form a word"):
                graph.blocks, size, changed = trial.blocks, trial.slots(), True
    return changed


def _walk(graph: Graph, flow: Flow, around: Surroundings, number: int) -> Iterator[tuple[State, State, Node]]:
    """Each instruction of a block with the state before and after it."""
    entry = flow.entries[number,]
    state = entry.states[0].copy()
    events: list[Event] = []
    for node in graph.blocks[number].nodes:
        before = state.copy()
        flow.values.step(state, node, around, events, tag_of((number,)))
        yield before, state.copy(), node


def _as_load(values: Values, before: State, after: State, node: Node) -> list[Node] | None:
    op = node.op
    if not isinstance(op, ops.Alu | ops.ByteOrder) or node.relo is not None:
        return None
    if isinstance(op, ops.Alu) and (op.kind is ops.AluKind.MOV or op.kind not in _JOINING):
        return None
    value = after.regs[op.dst]
    if value is None or value.is_const:
        return None
    bits = 64 - leading_zeros(value)
    span = node.insn.span
    for size in (1, 2, 4, 8):
        if 8 * size < bits:
            continue
        parts = [values.t.extract(value, 64, 8 * i + 7, 8 * i) for i in range(size)]
        word = _find_word(values, before, parts)
        if word is not None:
            return [Node(make.load(op.dst, word.register, word.offset, size, span))]
        word = _find_word(values, before, parts[::-1]) if size > 1 else None
        if word is not None and not isinstance(op, ops.ByteOrder):
            swap = Insn(isa.BPF_ALU | isa.BPF_END | isa.BPF_TO_BE, op.dst, imm=8 * size, span=span)
            return [Node(make.load(op.dst, word.register, word.offset, size, span)), Node(swap)]
    return None


_JOINING = frozenset({ops.AluKind.OR, ops.AluKind.ADD, ops.AluKind.XOR, ops.AluKind.RSH, ops.AluKind.LSH, ops.AluKind.AND})


# --- stores -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Store:
    position: int
    root: Term
    offset: int
    size: int
    register: int | None  # what is stored, None: a number


def merge_stores(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> bool:
    """Joins stores to neighbouring places into one at the place of the last of them."""
    live = Liveness.of(graph, flow, around)
    changed = False
    for number in graph.order():
        if (number,) in flow.entries:
            changed |= _Joiner(graph, flow, around, ledger, live, number).run()
    return changed


@dataclass(slots=True)
class _Joiner:
    graph: Graph
    flow: Flow
    around: Surroundings
    ledger: Ledger
    live: Liveness
    number: int

    def run(self) -> bool:
        """One join at most for each store; the next round sees what is left."""
        block = self.graph.blocks[self.number]
        if sum(isinstance(node.op, ops.Store) for node in block.nodes) < 2:
            return False
        states = [before for before, _, _ in _walk(self.graph, self.flow, self.around, self.number)]
        stores = [
            found for position, node in enumerate(block.nodes) if (found := self._store(position, node, states[position]))
        ]
        used: set[int] = set()
        replaced: dict[int, list[Node]] = {}
        for size in (8, 4, 2):
            for group in self._groups(stores, size):
                if used & {item.position for item in group}:
                    continue
                new = self._joined(group, size, states)
                if new is None:
                    continue
                span = block.nodes[group[0].position].insn.span
                if not self.ledger.allows("store-merging", span, f"{len(group)} stores as one of {size} bytes"):
                    continue
                last = max(item.position for item in group)
                for item in group:
                    replaced[item.position] = new if item.position == last else []
                used |= {item.position for item in group}
        if not replaced:
            return False
        block.nodes = [new for position, node in enumerate(block.nodes) for new in replaced.get(position, [node])]
        return True

    def _store(self, position: int, node: Node, state: State) -> _Store | None:
        op = node.op
        if not isinstance(op, ops.Store) or op.release or node.relo is not None:
            return None
        address = state.regs[op.base]
        if address is None:
            return None
        root, offset = self.flow.values.place(address)
        if "ctx" in self.flow.values.kinds(root):
            return None
        return _Store(position, root, offset + op.offset, op.size, None if isinstance(op.src, ops.Imm) else op.src)

    def _groups(self, stores: list[_Store], size: int) -> Iterator[list[_Store]]:
        """Sets of stores that fill `size` bytes exactly, lowest first."""
        for first in sorted(stores, key=lambda item: (item.root.ident, item.offset, item.position)):
            on_stack = first.root.op == "app" and first.root.name == "fp"
            if on_stack and first.offset % size:
                continue
            for begin in range(len(stores)):
                if stores[begin] is not first:
                    continue
                near = [
                    item for item in stores if item.root is first.root and abs(item.position - first.position) <= MAX_DISTANCE
                ]
                group = self._fill(near, first, size)
                if group is not None and len(group) > 1:
                    yield group

    @staticmethod
    def _fill(near: list[_Store], first: _Store, size: int) -> list[_Store] | None:
        group, at, end = [first], first.offset + first.size, first.offset + size
        while at < end:
            following = [item for item in near if item.offset == at and at + item.size <= end and item not in group]
            if not following:
                return None
            nearest = min(following, key=lambda item: abs(item.position - group[-1].position))
            group.append(nearest)
            at += nearest.size
        return group if at == end else None

    def _joined(self, group: list[_Store], size: int, states: list[State]) -> list[Node] | None:
        """What to put in the place of the last store of the group."""
        nodes = self.graph.blocks[self.number].nodes
        positions = sorted(item.position for item in group)
        last = positions[-1]
        if not self._can_wait(group, positions, states):
            return None
        state = states[last]
        node = nodes[last]
        values, t = self.flow.values, self.flow.values.t
        by_offset = sorted(group, key=lambda item: item.offset)
        parts: list[Term] = []
        for item in by_offset:
            op = nodes[item.position].op
            assert isinstance(op, ops.Store)
            stored = t.const(64, op.src.value) if isinstance(op.src, ops.Imm) else states[item.position].regs[op.src]
            if stored is None:
                return None
            parts += [t.extract(stored, 64, 8 * i + 7, 8 * i) for i in range(item.size)]
        value = values.join(parts)
        last_store = next(item for item in group if item.position == last)
        offset = node.insn.offset + by_offset[0].offset - last_store.offset
        if not make.fits_signed(offset, 16):
            return None
        span = node.insn.span
        if value.is_const:
            short = make.store_immediate(Insn(0, node.insn.dst_reg, 0, offset, span=span), value.number, size)
            return [Node(short)] if short is not None else None
        for register in range(10):
            held = state.regs[register]
            if held is not None and t.extract(held, 64, 8 * size - 1, 0) is value:
                return [Node(make.store(node.insn.dst_reg, offset, size, register, span))]
        word = _find_word(values, state, parts)
        scratch = self._scratch(group, last, word)
        if word is None or scratch is None:
            return None
        return [
            Node(make.load(scratch, word.register, word.offset, size, span)),
            Node(make.store(node.insn.dst_reg, offset, size, scratch, span)),
        ]

    def _scratch(self, group: list[_Store], last: int, word: _Word | None) -> int | None:
        """A register that nobody needs after the last store: one that was stored, or any other."""
        block = self.graph.blocks[self.number]
        if word is None:
            return None
        alive = self.live.live_out[self.number]
        touches = self.live.touches[self.number]
        for position in range(len(touches) - 1, last, -1):
            alive = alive & ~touches[position].kills | touches[position].reads
        base = block.nodes[last].insn.dst_reg
        wanted: list[int] = [item.register for item in group if item.register is not None]
        for register in [*wanted, *range(6), *range(6, 10)]:
            if not alive >> register & 1 and register != base:
                if register in (6, 7, 8, 9) and not self._is_used(register):
                    continue
                return int(register)
        return None

    def _is_used(self, register: int) -> bool:
        return any(register in defines(node.op) for node in self.graph.nodes())

    def _can_wait(self, group: list[_Store], positions: list[int], states: list[State]) -> bool:
        """May each store of the group happen where the last one does?"""
        nodes = self.graph.blocks[self.number].nodes
        values = self.flow.values
        inside = set(positions)
        root = group[0].root
        on_stack = root.op == "app" and root.name == "fp"
        for item in group:
            begin, end = item.offset, item.offset + item.size
            for position in range(item.position + 1, positions[-1] + 1):
                if position in inside:
                    continue
                op = nodes[position].op
                if is_call(op) or isinstance(op, ops.Atomic):
                    if not on_stack:
                        return False
                    touch = self.live.touches[self.number][position]

                    if (touch.reads | touch.kills) & stack_mask(begin, end) or isinstance(op, ops.Atomic) or _may_write(op):
                        return False
                elif isinstance(op, ops.Load | ops.Store):
                    if nodes[position].relo is not None:
                        return False
                    address = states[position].regs[op.base]
                    if address is None:
                        return False
                    other, at = values.place(address)
                    at += op.offset
                    if other is root:
                        if at < end and begin < at + op.size:
                            return False
                    elif values.may_overlap(root, other):
                        return False
        return True


def _may_write(op: ops.Op) -> bool:
    """A call between two stores to the stack: only helpers whose reach is known let a store wait."""

    effect = HELPER_EFFECTS.get(op.helper_id) if isinstance(op, ops.CallHelper) else None
    return effect is None or any(item.kind not in ("u32", "u64", "ctx", "map", "in") for item in effect.arguments)
