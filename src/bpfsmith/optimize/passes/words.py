"""Fewer and wider loads: bytes that form a word are loaded as one.

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
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.passes.dead import remove_dead
from bpfsmith.optimize.state import Event, State
from bpfsmith.optimize.values import Values
from bpfsmith.semantics.terms import Term, leading_zeros


@dataclass(frozen=True, slots=True)
class Word:
    """`size` bytes of memory at `register` + `offset`; in the other byte order if `swapped`."""

    register: int
    offset: int
    size: int
    swapped: bool = False


def find_word(values: Values, state: State, parts: list[Term], barred: frozenset[int] = frozenset()) -> Word | None:
    """Where these bytes (in address order) stand in memory, if a register leads there."""
    size = len(parts)
    for root, offset in _places(values, state, parts):
        on_stack = root.op == "app" and root.name == "fp"
        if "ctx" in values.kinds.of(root) or (on_stack and offset % size):
            continue
        for register in range(11):
            held = state.regs[register]
            if held is None or register in barred:
                continue
            other, start = values.place(held)
            if other is root and make.fits_signed(offset - start, 16):
                return Word(register, offset - start, size)
    return None


def _places(values: Values, state: State, parts: list[Term]) -> Iterator[tuple[Term, int]]:
    first = parts[0]
    if first.op == "app" and first.name == "m":
        root, at = first.args[0], make.signed64(first.args[1].number)
        if all(values.byte(state, root, at + i) is part for i, part in enumerate(parts)):
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
        state, events = entry.states[0].copy(), list[Event]()
        for node in graph.blocks[number].nodes:  # as they stand now: what is changed on the way is a copy
            before = list(state.regs)
            flow.values.step(state, node, around, events, tag_of((number,)))
            new = _as_load(flow.values, before, state, node)
            index = next((i for i, item in enumerate(graph.blocks[number].nodes) if item is node), None) if new else None
            if new is None or index is None:
                continue
            trial = graph.copy()
            trial.blocks[number].nodes[index : index + 1] = new
            remove_dead(trial, flow, around, Ledger())
            if trial.slots() >= size:
                continue
            if ledger.allows("word-load", node.insn.span, "bytes that form a word"):
                graph.blocks, size, changed = trial.blocks, trial.slots(), True
    return changed


def walk(graph: Graph, flow: Flow, around: Surroundings, number: int) -> Iterator[tuple[State, State, Node]]:
    """Each instruction of a block with the state before and after it."""
    entry = flow.entries[number,]
    state = entry.states[0].copy()
    events: list[Event] = []
    for node in graph.blocks[number].nodes:
        before = state.copy()
        flow.values.step(state, node, around, events, tag_of((number,)))
        yield before, state.copy(), node


def _as_load(values: Values, held: list[Term | None], after: State, node: Node) -> list[Node] | None:
    """The instruction as a load, from where the registers that held this before lead."""
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
    before = State(held, after.stack, after.mem, after.versions, after.stores, after.rest)  # arithmetic changes no memory
    for size in (1, 2, 4, 8):
        if 8 * size < bits:
            continue
        parts = [values.t.extract(value, 64, 8 * i + 7, 8 * i) for i in range(size)]
        word = find_word(values, before, parts)
        if word is not None:
            return [Node(make.load(op.dst, word.register, word.offset, size, span))]
        word = find_word(values, before, parts[::-1]) if size > 1 else None
        if word is not None and not isinstance(op, ops.ByteOrder):
            swap = Insn(isa.BPF_ALU | isa.BPF_END | isa.BPF_TO_BE, op.dst, imm=8 * size, span=span)
            return [Node(make.load(op.dst, word.register, word.offset, size, span)), Node(swap)]
    return None


_JOINING = frozenset({ops.AluKind.OR, ops.AluKind.ADD, ops.AluKind.XOR, ops.AluKind.RSH, ops.AluKind.LSH, ops.AluKind.AND})
