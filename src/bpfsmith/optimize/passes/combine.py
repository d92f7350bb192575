"""Two comparisons of neighbouring bytes, or of parts of one, that lead to the same place become one.

r3 = *(u16 *)(r2 +12)               r3 = *(u32 *)(r2 +12)
if r3 != 8 goto out                 w3 &= 16777215
r3 = *(u8 *)(r2 +14)         ->     if w3 != 4521992 goto out
if r3 != 69 goto out

Bytes that nobody compares are masked out. What is loaded earlier for that is loaded from the same bytes of memory, which
nothing between the comparisons can change; whether it may be reached there the verifier says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize import make
from bpfsmith.optimize.effects import Surroundings, defines, is_pure
from bpfsmith.optimize.flow import Flow
from bpfsmith.optimize.graph import Block, Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness
from bpfsmith.optimize.passes.duplicate import state_at_end
from bpfsmith.optimize.passes.words import find_word
from bpfsmith.optimize.state import State
from bpfsmith.semantics.terms import Term


@dataclass(frozen=True, slots=True)
class _Test:
    """A block that goes on to `equal` where each term is its number, else to `other`; `state` is what there is at its end."""

    parts: tuple[tuple[Term, int], ...]
    equal: int
    other: int
    state: State


Bits = dict[Term, tuple[int, int]]
"""Bytes of memory, and what is compared of each: a mask and the bits under it."""


def combined(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> Iterator[Graph]:
    """Graphs to try, each with two comparisons made one."""
    live = Liveness.of(graph, flow, around)
    before = graph.predecessors()
    tests = {number: test for number in graph.blocks if (test := _test(graph, flow, around, number)) is not None}
    for number, first in sorted(tests.items()):
        second = tests.get(first.equal)
        if second is None or len(before[first.equal]) != 1 or first.equal == graph.entry or second.other != first.other:
            continue
        inner = graph.blocks[first.equal]
        written = {register for node in inner.nodes for register in defines(node.op)}
        if not all(is_pure(node.op) for node in inner.nodes) or any(live.live_in[first.other] >> r & 1 for r in written):
            continue
        made = _comparison(flow, around, first, second, live.live_in[first.equal] | live.live_in[first.other], _used(graph))
        end = graph.blocks[number].end
        if made is None or end is None or not ledger.allows("combined-branch", end.insn.span, "two comparisons as one"):
            continue
        out = graph.copy()
        nodes, branch = made
        out.blocks[number] = Block([*graph.blocks[number].nodes, *nodes], branch, first.equal, first.other)
        out.blocks[first.equal] = Block(inner.nodes, None, second.equal)
        yield out


def _test(graph: Graph, flow: Flow, around: Surroundings, number: int) -> _Test | None:
    block = graph.blocks[number]
    if block.end is None or block.taken is None or block.next is None or block.next == block.taken:
        return None
    held = state_at_end(graph, flow, around, number) if (number,) in flow.entries else None
    if held is None:
        return None
    state, condition = held
    for held_there, equal, other in (
        (condition, block.taken, block.next),
        (flow.values.t.negate(condition), block.next, block.taken),
    ):
        parts = held_there.args if held_there.op == "conj" else (held_there,)
        if all(part.op == "eq" and part.args[1].is_const for part in parts):
            return _Test(tuple((part.args[0], part.args[1].number) for part in parts), equal, other, state)
    return None


def _used(graph: Graph) -> int:
    """The registers that the function writes at all."""
    out = 0
    for node in graph.nodes():
        for register in defines(node.op):
            out |= 1 << register
    return out


def _comparison(
    flow: Flow, around: Surroundings, first: _Test, second: _Test, alive: int, used: int
) -> tuple[list[Node], Node] | None:
    """One comparison for both: what loads it, and the branch that is taken where they are not equal."""
    bits: Bits = {}
    if not all(_bits(term, number, bits) for test in (first, second) for term, number in test.parts):
        return None
    state = first.state
    found = {byte: _place(byte, state) for byte in bits}
    roots = {place[0] for place in found.values() if place is not None}
    places = sorted((place[1], byte.ident, byte) for byte, place in found.items() if place is not None)
    if len(roots) != 1 or len(places) != len(bits):
        return None
    start = places[0][0]
    size = next((size for size in (1, 2, 4, 8) if places[-1][0] - start < size), None)
    register = next((r for r in range(10) if not alive >> r & 1 and (r < 6 or used >> r & 1)), None)
    if size is None or register is None:
        return None
    (root,) = roots
    if root is state.regs[10] and any(start + i not in state.stack for i in range(size)):
        return None  # nothing was written there
    parts = [flow.values.byte(state, root, start + i) for i in range(size)]
    if any(byte is not parts[at - start] for at, _, byte in places):
        return None  # of another time
    word = find_word(flow.values, state, parts)
    if word is None:
        return None
    mask = sum(bits[byte][0] << 8 * (at - start) for at, _, byte in places)
    number = sum(bits[byte][1] << 8 * (at - start) for at, _, byte in places)
    end = [Node(make.load(register, word.register, word.offset, size, None))]
    short = size == 4 and around.cpu >= 3
    if mask != (1 << 8 * size) - 1:
        alu, width = (isa.BPF_ALU, 32) if size <= 4 else (isa.BPF_ALU64, 64)
        masked = make.immediate_form(Insn(alu | isa.BPF_AND, register), mask, width)
        if masked is None:
            return None
        end.append(Node(masked))
    jump = isa.BPF_JMP32 if short else isa.BPF_JMP
    branch = make.immediate_form(Insn(jump | isa.BPF_JNE, register), number, 32 if short else 64)
    return None if branch is None else (end, Node(branch))


def _place(byte: Term, state: State) -> tuple[Term, int] | None:
    """Where the byte lies in memory."""
    if byte.name == "m":
        return byte.args[0], make.signed64(byte.args[1].number)
    at = next((at for at, held in sorted(state.stack.items()) if held is byte), None)
    return None if at is None or state.regs[10] is None else (state.regs[10], at)


def _bits(term: Term, number: int, found: Bits) -> bool:
    """Adds what a comparison says of bytes of memory; False where it is about something else."""
    match term.op:
        case "concat":
            top = term.width
            for piece in term.args:
                bottom = top - piece.width
                value = number >> bottom & ((1 << piece.width) - 1)
                if not (piece.number == value if piece.is_const else _bits(piece, value, found)):
                    return False
                top = bottom
            return True
        case "extract":
            return _add(term.args[0], ((1 << term.width) - 1) << term.number, number << term.number, found)
        case "app":
            return _add(term, (1 << term.width) - 1, number, found)
        case _:
            return False


def _add(byte: Term, mask: int, value: int, found: Bits) -> bool:
    if byte.op != "app" or byte.width != 8:
        return False
    before = found.get(byte, (0, 0))
    if before[0] & mask:
        return False
    found[byte] = before[0] | mask, before[1] | value
    return True
