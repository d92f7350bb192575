"""Basic blocks and their order."""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.ir.ops import Branch, CallHelper, Exit, Jump, LoadSkb, MayGoto, Op

BPF_TAIL_CALL = 12
"""The helper behind which a function may not go on (enum bpf_func_id)."""


@dataclass(frozen=True, slots=True)
class Block:
    """Ops `start` up to (not including) `end`. `successors` are block indices; for a branch the fall-through comes first."""

    start: int
    end: int
    successors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """One function's ops and blocks. Blocks stand in text order; `order` lists the reachable ones so that every block comes
    after its predecessors but for back edges, and loop bodies come before what follows the loop."""

    name: str
    ops: tuple[Op, ...]
    blocks: tuple[Block, ...]
    order: tuple[int, ...]


def build(name: str, ops: tuple[Op, ...]) -> Function:
    """The control-flow graph of one function's ops."""
    leaders = {0}
    for index, op in enumerate(ops):
        match op:
            case Branch(target=target) | Jump(target=target) | MayGoto(target=target):
                leaders |= {target, index + 1}
            case Exit() | LoadSkb():  # either may be the function's end
                leaders.add(index + 1)
            case CallHelper(helper_id=helper_id) if helper_id == BPF_TAIL_CALL:
                leaders.add(index + 1)
            case _:
                pass
    starts = sorted(leader for leader in leaders if leader < len(ops))
    number = {start: index for index, start in enumerate(starts)}
    blocks = []
    for index, start in enumerate(starts):
        end = starts[index + 1] if index + 1 < len(starts) else len(ops)
        match ops[end - 1]:
            case Exit():
                successors: tuple[int, ...] = ()
            case Jump(target=target):
                successors = (number[target],)
            case Branch(target=target) | MayGoto(target=target):
                following = (number[end],) if end < len(ops) else ()
                successors = (*following, number[target])
            case _:
                successors = (number[end],) if end < len(ops) else ()
        blocks.append(Block(start, end, successors))
    return Function(name, ops, tuple(blocks), _order(blocks))


def _order(blocks: list[Block]) -> tuple[int, ...]:
    """Reverse postorder; ties are broken so that blocks that can come back to where they were reached from go first."""
    reach = _reachable(blocks)
    seen: set[int] = set()
    out: list[int] = []
    stack: list[tuple[int, bool]] = [(0, False)]
    while stack:
        block, done = stack.pop()
        if done:
            out.append(block)
            continue
        if block in seen:
            continue
        seen.add(block)
        stack.append((block, True))
        # Visited last means placed first in reverse postorder: leave the way back into the loop for last.
        successors = sorted(blocks[block].successors, key=lambda item: block in reach[item])
        stack.extend((item, False) for item in reversed(successors) if item not in seen)
    return tuple(reversed(out))


def _reachable(blocks: list[Block]) -> list[set[int]]:
    reach = [set(block.successors) for block in blocks]
    changed = True
    while changed:
        changed = False
        for index in range(len(blocks) - 1, -1, -1):
            wider = reach[index].union(*(reach[item] for item in reach[index]))
            if len(wider) > len(reach[index]):
                reach[index], changed = wider, True
    return reach
