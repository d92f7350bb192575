"""The form in which a function is optimised: blocks of instructions with named successors instead of distances.

Graph.of(insns, core_relos)  ->  Graph        jumps become edges, `goto` disappears
graph.code()                 ->  NewCode      blocks in the order that needs the fewest `goto`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from bpfsmith.ir import ops
from bpfsmith.ir.lift import lift_alone
from bpfsmith.ir.ops import Op
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn, slot_starts
from bpfsmith.objfile.btf_ext import CoreRelo
from bpfsmith.objfile.writer import NewCode

EXIT = Insn(isa.BPF_JMP | isa.BPF_EXIT)
INVERSE = {
    isa.BPF_JEQ: isa.BPF_JNE, isa.BPF_JNE: isa.BPF_JEQ, isa.BPF_JGT: isa.BPF_JLE, isa.BPF_JLE: isa.BPF_JGT,
    isa.BPF_JGE: isa.BPF_JLT, isa.BPF_JLT: isa.BPF_JGE, isa.BPF_JSGT: isa.BPF_JSLE, isa.BPF_JSLE: isa.BPF_JSGT,
    isa.BPF_JSGE: isa.BPF_JSLT, isa.BPF_JSLT: isa.BPF_JSGE,
}  # fmt: skip
"""Jump codes and those that jump in the opposite case; JSET has none."""

_SHORT_REACH = 32_000
"""Slots that the 16 bits of an ordinary jump reach, less some."""


class Irregular(Exception):
    """The function has a shape that is not optimised; says which."""


@lru_cache(maxsize=1 << 16)
def _op(insn: Insn) -> Op:
    return lift_alone(insn)


@dataclass(frozen=True, slots=True)
class Node:
    """One instruction; `relo` is set when the loader will change its imm or offset, whose value is then unknown here.

    `refines` marks an atomic that stands for a load, an operation and a store: it does the same to one CPU, and others cannot
    come between.
    """

    insn: Insn
    relo: CoreRelo | None = None
    refines: bool = False
    op: Op = field(init=False, compare=False, repr=False)  # what the instruction means; asked for all the time

    def __post_init__(self) -> None:
        object.__setattr__(self, "op", _op(self.insn))

    @property
    def slots(self) -> int:
        return self.insn.slots


@dataclass(slots=True)
class Block:
    """Straight code and what ends it: a conditional jump to `taken` (else `next`), an exit (`next` is None), or nothing but
    going on at `next`."""

    nodes: list[Node]
    end: Node | None = None
    next: int | None = None
    taken: int | None = None

    def copy(self) -> Block:
        return Block(list(self.nodes), self.end, self.next, self.taken)

    @property
    def successors(self) -> tuple[int, ...]:
        return tuple(item for item in (self.next, self.taken) if item is not None)

    @property
    def is_exit(self) -> bool:
        return self.next is None


@dataclass(slots=True)
class Graph:
    """A function's blocks by number; the numbers follow the order of the text. The entry is `entry`."""

    name: str
    blocks: dict[int, Block]
    entry: int = 0
    spare: int = field(default=0)

    @classmethod
    def of(cls, name: str, insns: tuple[Insn, ...], core_relos: Iterable[CoreRelo] = ()) -> Graph:
        """Raises Irregular for what has no fixed successors."""
        starts = slot_starts(insns)
        index_of = {slot: index for index, slot in enumerate(starts)}
        relos: dict[int, CoreRelo] = {}
        for relo in core_relos:
            index = index_of.get(relo.insn_offset // 8)
            if index is None or index in relos:
                raise Irregular("CO-RE relocations that share an instruction")
            relos[index] = replace(relo, insn_offset=0)
        targets = {
            i: index_of[starts[i + 1] + distance] for i, insn in enumerate(insns) if (distance := _distance(insn)) is not None
        }
        leaders = {0, *targets.values()} | {i + 1 for i in targets} | {i + 1 for i, insn in enumerate(insns) if _is_exit(insn)}
        blocks: dict[int, Block] = {}
        for start in sorted(item for item in leaders if item < len(insns)):
            at = start
            nodes: list[Node] = []
            while True:
                node = Node(insns[at], relos.get(at))
                op = node.op
                if isinstance(op, ops.Unlifted):
                    raise Irregular(op.text)
                if _is_exit(insns[at]):
                    blocks[start] = Block(nodes, Node(insns[at]))
                    break
                if at in targets:
                    if isinstance(op, ops.Jump):
                        blocks[start] = Block(nodes, None, targets[at])
                    else:
                        if at + 1 >= len(insns):
                            raise Irregular("code that falls off its end")
                        blocks[start] = Block(nodes, replace(node, insn=replace(insns[at], offset=0)), at + 1, targets[at])
                    break
                nodes.append(node)
                at += 1
                if at >= len(insns):
                    raise Irregular("code that falls off its end")
                if at in leaders:
                    blocks[start] = Block(nodes, None, at)
                    break
        graph = cls(name, blocks, 0, len(insns) + 1)
        graph.prune()
        return graph

    def copy(self) -> Graph:
        return Graph(self.name, {number: block.copy() for number, block in self.blocks.items()}, self.entry, self.spare)

    def fresh(self) -> int:
        """A number for a new block, after all others."""
        self.spare += 1
        return self.spare

    def nodes(self) -> Iterator[Node]:
        for block in self.blocks.values():
            yield from block.nodes
            if block.end is not None:
                yield block.end

    def predecessors(self) -> dict[int, list[int]]:
        """The blocks that lead to each, a branch whose two ways are one counted twice."""
        found: dict[int, list[int]] = {number: [] for number in self.blocks}
        for number, block in self.blocks.items():
            for successor in block.successors:
                found[successor].append(number)
        return found

    def order(self) -> list[int]:
        """Reverse postorder."""
        seen: set[int] = set()
        out: list[int] = []
        stack: list[tuple[int, bool]] = [(self.entry, False)]
        while stack:
            number, done = stack.pop()
            if done:
                out.append(number)
            elif number not in seen:
                seen.add(number)
                stack.append((number, True))
                stack += [(item, False) for item in self.blocks[number].successors if item not in seen]
        return out[::-1]

    def prune(self) -> None:
        """Drops blocks that cannot be reached."""
        reached = set(self.order())
        for number in [item for item in self.blocks if item not in reached]:
            del self.blocks[number]

    def slots(self) -> int:
        """What `code()` takes, in slots of 8 bytes."""
        order, fallen = self._layout()
        return sum(node.slots for node in self.nodes()) + self._gotos(order, fallen)

    # --- layout -------------------------------------------------------------------------------------------------------
    def _layout(self) -> tuple[list[int], dict[int, int]]:
        """The blocks in order, and for each the block that follows it where it may fall through: a matching of blocks with
        successors that leaves as few as possible to need a `goto` (augmenting paths), with cycles cut."""
        numbers = self.order()
        before: dict[int, int] = {}  # successor -> the block that falls into it

        def ways(number: int) -> list[int]:
            block = self.blocks[number]
            found = [block.next] if block.next is not None else []
            if block.taken is not None and block.end is not None and _invertible(block.end.insn):
                found.append(block.taken)
            return [item for item in found if item != self.entry]

        def augment(number: int, seen: set[int]) -> bool:
            for way in ways(number):
                if way not in seen:
                    seen.add(way)
                    if way not in before or augment(before[way], seen):
                        before[way] = number
                        return True
            return False

        # As the text stands first, so that nothing moves without need.
        for number in sorted(numbers):
            block = self.blocks[number]
            if block.next is not None and block.next not in before and block.next != self.entry and block.next > number:
                before[block.next] = number
        matched = set(before.values())
        for number in sorted(numbers):
            if number not in matched and augment(number, set()):
                matched = set(before.values())
        follows = {number: successor for successor, number in before.items()}
        order: list[int] = []
        placed: set[int] = set()
        rest = [self.entry, *sorted(number for number in numbers if number not in before), *sorted(numbers)]
        for head in rest:
            at: int | None = head
            while at is not None and at not in placed:
                placed.add(at)
                order.append(at)
                at = follows.get(at)
        return order, follows

    def _gotos(self, order: list[int], follows: dict[int, int]) -> int:
        return sum(1 for _, _, goto in self._plan(order) if goto is not None)

    def _plan(self, order: list[int]) -> list[tuple[int, bool, int | None]]:
        """For each block in order: its number, whether its branch is inverted, and where a `goto` after it leads."""
        plan: list[tuple[int, bool, int | None]] = []
        for position, number in enumerate(order):
            block = self.blocks[number]
            following = order[position + 1] if position + 1 < len(order) else None
            if block.next is None or block.next == following:
                plan.append((number, False, None))
            elif block.taken is not None and block.taken == following and block.end and _invertible(block.end.insn):
                plan.append((number, True, None))
            else:
                plan.append((number, False, block.next))
        return plan

    def code(self) -> NewCode:
        """The function as instructions again."""
        order, _ = self._layout()
        plan = self._plan(order)
        size = {n: sum(node.slots for node in self.blocks[n].nodes) + (self.blocks[n].end is not None) for n in order}
        starts, at = {}, 0
        for number, _, goto in plan:
            starts[number] = at
            at += size[number] + (goto is not None)
        if at > _SHORT_REACH:
            raise Irregular("jumps of more than 16 bits")
        insns: list[Insn] = []
        relos: list[CoreRelo] = []
        slot = 0

        def emit(node: Node) -> None:
            nonlocal slot
            if node.relo is not None:
                relos.append(replace(node.relo, insn_offset=8 * slot))
            insns.append(node.insn)
            slot += node.slots

        for number, inverted, goto in plan:
            block = self.blocks[number]
            for node in block.nodes:
                emit(node)
            if block.end is not None:
                insn = block.end.insn
                if block.taken is not None:
                    assert block.next is not None
                    target = block.next if inverted else block.taken
                    code = INVERSE[insn.opcode & 0xF0] if inverted else insn.opcode & 0xF0
                    insn = replace(insn, opcode=insn.opcode & 0x0F | code, offset=starts[target] - slot - 1)
                emit(Node(insn, block.end.relo))
            if goto is not None:
                span = insns[-1].span if insns else None
                emit(Node(Insn(isa.BPF_JMP | isa.BPF_JA, offset=starts[goto] - slot - 1, span=span)))
        return NewCode(tuple(insns), tuple(relos))


def _invertible(insn: Insn) -> bool:
    return insn.opcode & 0xF0 in INVERSE


def _is_exit(insn: Insn) -> bool:
    return insn.insn_class == isa.BPF_JMP and insn.opcode & 0xF0 == isa.BPF_EXIT


def _distance(insn: Insn) -> int | None:
    """How far the insn may jump, in slots from the next insn; None when it is no jump."""
    if insn.insn_class not in (isa.BPF_JMP, isa.BPF_JMP32) or insn.opcode & 0xF0 in (isa.BPF_CALL, isa.BPF_EXIT):
        return None
    if insn.opcode & 0xF0 == isa.BPF_JA and insn.insn_class == isa.BPF_JMP32:
        return insn.imm
    return insn.offset
