"""Changes to the code of a pair's halves, on the graph of blocks that the optimizer works with.

Each conversion replaces calls on the map that carries the pair's state by something cheaper that means the same for a pair, and
leaves everything else as it is. None of them is trusted: `trace.proof` compares the outcome with the original.

    storage        lookup -> bpf_task_storage_get and a test of the armed word     update -> get with CREATE, copy, arm
                   delete -> disarm, through the pointer of the lookup before it; the same with bpf_sk_storage_get
    session        update -> store into the cookie, and the way on returns 0; ways without an update return 1
                   lookup -> the cookie                                            delete -> nothing
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from bpfsmith.ir import ops
from bpfsmith.ir.ops import AluKind, Imm
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.objfile.code import Function
from bpfsmith.optimize.graph import Block, Graph, Irregular, Node
from bpfsmith.optimize.make import SIZES, load, move, store
from bpfsmith.source import Span
from bpfsmith.trace.provenance import KEYED, MapUse, Source, Touch

BPF_ANY, BPF_NOEXIST = 0, 1
STACK_BYTES = 512
ENOMEM, ENOENT, EEXIST = 12, 2, 17
IS_RETURN, COOKIE = "bpf_session_is_return", "bpf_session_cookie"
_CREATE = 1  # BPF_LOCAL_STORAGE_GET_F_CREATE
_MAX_COPY = 8192
FP = 10


class Refused(Exception):
    """The form does not fit this code; says why in a sentence."""


class Mark(Enum):
    """What says that storage holds an entry: a word that is 1, a value that is not 0, or that the storage is there at all."""

    WORD, NOT_ZERO, PRESENT = "armed word", "value that is not 0", "presence"


@dataclass(frozen=True, slots=True)
class Storage:
    """The value of a map as storage of a task or a socket (`of` "task" or "sk"). Ours has the value first and behind it an
    armed word of 4 bytes; somebody else's may be laid out otherwise."""

    map: str
    value_bytes: int
    of: str = "task"
    mark: Mark = Mark.WORD
    value_at: int = 0
    word: tuple[int, int] | None = None  # offset and size of the armed word, in bytes
    size: int = 0

    @property
    def map_type(self) -> str:
        return {"task": "BPF_MAP_TYPE_TASK_STORAGE", "sk": "BPF_MAP_TYPE_SK_STORAGE"}[self.of]

    @property
    def armed_at(self) -> int:
        return self.word[0] if self.word else (self.value_bytes + 3) // 4 * 4

    @property
    def armed_bytes(self) -> int:
        return self.word[1] if self.word else 4

    @property
    def total_bytes(self) -> int:
        return self.size or (self.armed_at + 4 + 7) // 8 * 8


# --- insns ------------------------------------------------------------------------------------------------------------
def call(helper: str, span: Span | None) -> Node:
    return Node(Insn(isa.BPF_JMP | isa.BPF_CALL, imm=HELPER_IDS[helper], span=span))


def kfunc(name: str, span: Span | None) -> Node:
    return Node(Insn(isa.BPF_JMP | isa.BPF_CALL, src_reg=isa.BPF_PSEUDO_KFUNC_CALL, symbol=name, span=span))


def number(dst: int, value: int, span: Span | None) -> Node:
    return Node(Insn(isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_K, dst, imm=value, span=span))


def the_map(dst: int, name: str, span: Span | None) -> Node:
    return Node(Insn(isa.LD_IMM64, dst, isa.BPF_PSEUDO_MAP_FD, symbol=name, span=span))


def store_number(base: int, offset: int, size: int, value: int, span: Span | None) -> Node:
    return Node(Insn(isa.BPF_ST | isa.BPF_MEM | SIZES[size], base, 0, offset, value, span=span))


def if_zero(register: int, span: Span | None) -> Node:
    return Node(Insn(isa.BPF_JMP | isa.BPF_JEQ | isa.BPF_K, register, imm=0, span=span))


def copied(source: int, at: int, target: int, size: int, span: Span | None) -> Iterator[Node]:
    """Copies `size` bytes from source + at to the start of target, through r2. Stack slots want their alignment."""
    done = 0
    while done < size:
        step = next(n for n in (8, 4, 2, 1) if n <= size - done and (at + done) % n == 0)
        yield Node(load(2, source, at + done, step, span))
        yield Node(store(target, done, step, 2, span))
        done += step


# --- graphs -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Site:
    """A call on the map: where it stands in a graph, and what the analysis knew of it."""

    block: int
    position: int
    use: MapUse


Marked = dict[int, tuple[Node, MapUse]]
"""What the analysis knew of a node, by the node's identity, which copies of graphs and inlining keep."""


def graph_of(function: Function) -> Graph:
    """The graph of a function; Refused where it has none."""
    try:
        return Graph.of(function.name, function.insns, function.core_relos)
    except Irregular as reason:
        raise Refused(f"{function.name} has {reason}") from None


def marked(graph: Graph, uses: Sequence[MapUse], map_name: str) -> Marked:
    """The calls on a map in a graph that nothing has changed yet: blocks are numbered by their first instruction then."""
    wanted = {use.insn_idx: use for use in uses if use.function == graph.name and use.map == map_name and use.touch in KEYED}
    found = {
        id(node): (node, wanted[number_ + position])
        for number_, block in graph.blocks.items()
        for position, node in enumerate(block.nodes)
        if number_ + position in wanted and isinstance(node.op, ops.CallHelper)
    }
    if len(found) != len(wanted):
        raise Refused(f"a call on {map_name} in {graph.name} is not found again")
    return found


def sites(graph: Graph, marks: Marked) -> list[Site]:
    """Where the marked calls stand, last first within a block: replacing one leaves the places of those still to come."""
    found = [
        Site(number_, position, marks[id(node)][1])
        for number_, block in graph.blocks.items()
        for position, node in enumerate(block.nodes)
        if id(node) in marks
    ]
    return sorted(found, key=lambda site: (site.block, -site.position))


def split_at(graph: Graph, block: int, position: int) -> int:
    """Cuts a block behind the node at `position`, which goes; the number of the block that holds the rest."""
    whole = graph.blocks[block]
    rest = graph.fresh()
    graph.blocks[rest] = Block(whole.nodes[position + 1 :], whole.end, whole.next, whole.taken)
    graph.blocks[block] = Block(whole.nodes[:position], None, rest)
    return rest


def frame_bytes(graph: Graph) -> int:
    """How much of the stack the function may use, in bytes, a multiple of 8. Refused where it cannot be told."""
    lowest = 0
    for node in graph.nodes():
        match node.op:
            case ops.Load(base=10, offset=offset) | ops.Store(base=10, offset=offset) | ops.Atomic(base=10, offset=offset):
                lowest = min(lowest, offset)
            case ops.Alu(kind=AluKind.ADD, width=64, src=Imm(value)) if -STACK_BYTES <= value < 0:
                lowest = min(lowest, value)
            case _:
                pass
    return (-lowest + 7) // 8 * 8


# --- storage ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Place:
    """Whose storage: the running task's, or (`argument`) that of what the hook is given; the context is at `context` then."""

    storage: Storage
    argument: int | None = None
    context: int = 0

    def get(self, flags: int, span: Span | None) -> list[Node]:
        """r0 = the value, or NULL."""
        owner = [call("bpf_get_current_task_btf", span), Node(move(2, 0, span))]
        if self.argument is not None:
            owner = [Node(load(2, FP, self.context, 8, span)), Node(load(2, 2, 8 * self.argument, 8, span))]
        return [
            *owner, the_map(1, self.storage.map, span), number(3, 0, span), number(4, flags, span),
            call(f"bpf_{self.storage.of}_storage_get", span),
        ]  # fmt: skip


def to_storage(graph: Graph, marks: Marked, storage: Storage, argument: int | None = None) -> Graph:
    """The function with every marked call replaced by one on storage of the same name: that of the running task, or of the
    object that the hook's `argument` (from 0) leads to."""
    graph = graph.copy()
    frame = frame_bytes(graph) + (8 if argument is not None else 0)
    place = _Place(storage, argument, -frame)
    found = sites(graph, marks)
    saved = -(frame + 8)
    deletes = [site for site in found if site.use.touch is Touch.DELETE]
    known_at = _after_lookup(graph, found) if deletes else frozenset()
    keeps = bool(known_at)
    used = saved if keeps else -frame
    for site in found:
        span = graph.blocks[site.block].nodes[site.position].insn.span
        match site.use.touch:
            case Touch.LOOKUP:
                _lookup(graph, site, place, saved if keeps else None, span)
            case Touch.UPDATE:
                _update(graph, site, place, used - 8, span)
            case _:
                _delete(graph, site, place, saved if (site.block, site.position) in known_at else None, span)
    if -used + 8 > STACK_BYTES:
        raise Refused(f"{graph.name} leaves no room on the stack")
    if argument is not None:
        head = graph.fresh()
        graph.blocks[head] = Block([Node(store(FP, place.context, 8, 1, None))], None, graph.entry)
        graph.entry = head
    return graph


def in_own_frame(use: MapUse) -> bool:
    """Does the value that an update is given lie at a known place of the stack of the program itself?"""
    return use.value is not None and use.value.source is Source.FRAME and use.value.depth == 0 and not use.value.name


def _lookup(graph: Graph, site: Site, place: _Place, saved: int | None, span: Span | None) -> None:
    """r0 = the value where it is armed, else NULL."""
    rest = split_at(graph, site.block, site.position)
    armed, unarmed = graph.fresh(), graph.fresh()
    if saved is not None:
        graph.blocks[rest].nodes.insert(0, Node(store(FP, saved, 8, 0, span)))
    block = graph.blocks[site.block]
    block.nodes += place.get(0, span)
    block.end, block.next, block.taken = if_zero(0, span), armed, rest
    test = Insn(isa.BPF_JMP | isa.BPF_JEQ | isa.BPF_K, 1, imm=0, span=span)
    graph.blocks[armed] = Block([Node(load(1, 0, place.storage.armed_at, 4, span))], Node(test), rest, unarmed)
    graph.blocks[unarmed] = Block([number(0, 0, span)], None, rest)


def _update(graph: Graph, site: Site, place: _Place, spill: int, span: Span | None) -> None:
    """r0 = 0 after the value was copied and armed; -ENOMEM without memory for it, -EEXIST where BPF_NOEXIST finds one."""
    value, flags, storage = site.use.value, site.use.flags, place.storage
    if flags not in (BPF_ANY, BPF_NOEXIST):
        raise Refused(f"an update of {storage.map} has flags other than BPF_ANY and BPF_NOEXIST")
    if storage.value_bytes > _MAX_COPY:
        raise Refused(f"values of {storage.map} have {storage.value_bytes} bytes")
    rest = split_at(graph, site.block, site.position)
    copy, failed = graph.fresh(), graph.fresh()
    block = graph.blocks[site.block]
    on_stack = in_own_frame(site.use)
    if not on_stack:
        block.nodes.append(Node(store(FP, spill, 8, 3, span)))
    block.nodes += place.get(_CREATE, span)
    block.end, block.next, block.taken = if_zero(0, span), copy, failed
    nodes = [] if on_stack else [Node(load(1, FP, spill, 8, span))]
    source, at = (FP, value.number) if on_stack and value is not None else (1, 0)
    nodes += copied(source, at, 0, storage.value_bytes, span)
    nodes += [store_number(0, storage.armed_at, 4, 1, span), number(0, 0, span)]
    graph.blocks[copy] = Block(nodes, None, rest)
    graph.blocks[failed] = Block([number(0, -ENOMEM, span)], None, rest)
    if flags == BPF_NOEXIST:
        test, there = graph.fresh(), graph.fresh()
        block.next = test
        graph.blocks[test] = Block([Node(load(1, 0, storage.armed_at, 4, span))], if_zero(1, span), there, copy)
        graph.blocks[there] = Block([number(0, -EEXIST, span)], None, rest)


def _delete(graph: Graph, site: Site, place: _Place, saved: int | None, span: Span | None) -> None:
    """r0 = 0 after the value was disarmed; -ENOENT where there is none."""
    rest = split_at(graph, site.block, site.position)
    disarm, missing = graph.fresh(), graph.fresh()
    block = graph.blocks[site.block]
    block.nodes += [Node(load(0, FP, saved, 8, span))] if saved is not None else place.get(0, span)
    block.end, block.next, block.taken = if_zero(0, span), disarm, missing
    graph.blocks[disarm] = Block([store_number(0, place.storage.armed_at, 4, 0, span), number(0, 0, span)], None, rest)
    graph.blocks[missing] = Block([number(0, -ENOENT, span)], None, rest)


def _after_lookup(graph: Graph, found: Sequence[Site]) -> frozenset[tuple[int, int]]:
    """The deletes before which, on every path, the map was looked up and not updated since."""
    changes = {(site.block, site.position): site.use.touch for site in found}
    before = graph.predecessors()
    known: dict[int, bool] = dict.fromkeys(graph.blocks, True)
    known[graph.entry] = False

    def through(block: int, state: bool, hits: set[tuple[int, int]] | None = None) -> bool:
        for position in range(len(graph.blocks[block].nodes)):
            touch = changes.get((block, position))
            if touch is Touch.DELETE and state and hits is not None:
                hits.add((block, position))
            state = touch is Touch.LOOKUP or (state and touch is None)
        return state

    changed = True
    while changed:
        changed = False
        for block in graph.order():
            arrives = block != graph.entry and all(through(item, known[item]) for item in before[block])
            if arrives != known[block]:
                known[block], changed = arrives, True
    hits: set[tuple[int, int]] = set()
    for block in graph.blocks:
        through(block, known[block], hits)
    return frozenset(hits)


# --- sessions ---------------------------------------------------------------------------------------------------------
def to_cookie(
    graph: Graph, marks: Marked, value_bytes: int, takes_context: bool, ctx: int, zero_is_none: bool = False
) -> Graph:
    """The function with the session's cookie in the place of the map. `ctx` is where on the stack the context is kept; the 8
    bytes below it are free. `zero_is_none`: a lookup finds nothing where the cookie is 0."""
    graph = graph.copy()
    for site in sites(graph, marks):
        nodes = graph.blocks[site.block].nodes
        old = nodes[site.position]
        span = old.insn.span
        cookie = [*([Node(load(1, FP, ctx, 8, span))] if takes_context else []), kfunc(COOKIE, span)]
        match site.use.touch:
            case Touch.LOOKUP if zero_is_none:
                _cookie_or_none(graph, site, cookie, value_bytes, span)
                continue
            case Touch.LOOKUP:
                new = cookie
            case Touch.DELETE:
                new = [number(0, 0, span)]
            case _:
                if site.use.flags != BPF_ANY:
                    raise Refused("an update has flags other than BPF_ANY")
                spill = Node(store(FP, ctx - 8, 8, 3, span))
                back = Node(load(1, FP, ctx - 8, 8, span))
                value = site.use.value
                if in_own_frame(site.use) and value is not None:
                    new = [*cookie, *copied(FP, value.number, 0, value_bytes, span), number(0, 0, span)]
                else:
                    new = [spill, *cookie, back, *copied(1, 0, 0, value_bytes, span), number(0, 0, span)]
        nodes[site.position : site.position + 1] = new
    return graph


def _cookie_or_none(graph: Graph, site: Site, cookie: list[Node], value_bytes: int, span: Span | None) -> None:
    if value_bytes not in SIZES:
        raise Refused(f"{value_bytes} bytes are not compared with 0 at once")
    rest = split_at(graph, site.block, site.position)
    none, block = graph.fresh(), graph.blocks[site.block]
    block.nodes += [*cookie, Node(load(1, 0, 0, value_bytes, span))]
    block.end, block.next, block.taken = if_zero(1, span), rest, none
    graph.blocks[none] = Block([number(0, 0, span)], None, rest)


def with_early_out(graph: Graph, marks: Marked) -> Graph:
    """The entry with r0 = 0 at exits behind an update and 1 at all others."""
    out, behind = doubled(graph, marks)
    for number_, block in out.blocks.items():
        if block.is_exit:
            block.nodes.append(number(0, 0 if number_ in behind else 1, block.end.insn.span if block.end else None))
    return out


def doubled(graph: Graph, marks: Marked) -> tuple[Graph, frozenset[int]]:
    """The entry with every block twice, one for runs that have updated the map and one for those that have not; the numbers of
    those at whose end a run has updated it. Before the calls are replaced."""
    updates = {site.block for site in sites(graph, marks) if site.use.touch is Touch.UPDATE}
    out = Graph(graph.name, {}, graph.entry, graph.spare)
    shift = {number_: out.fresh() for number_ in graph.blocks}
    behind = set()
    for number_, block in graph.blocks.items():
        for passed in (False, True):
            here = shift[number_] if passed else number_
            stores = passed or number_ in updates

            def way(target: int | None, stores: bool = stores) -> int | None:
                return target if target is None or not stores else shift[target]

            out.blocks[here] = Block(list(block.nodes), block.end, way(block.next), way(block.taken))
            if stores:
                behind.add(here)
    out.prune()
    return out, frozenset(behind)


def always_returning(graph: Graph, value: int) -> Graph:
    """The function with r0 = value at every exit."""
    out = graph.copy()
    for block in out.blocks.values():
        if block.is_exit:
            block.nodes.append(number(0, value, block.end.insn.span if block.end else None))
    return out


def fused(name: str, entry: Graph, exit_: Graph, takes_context: bool, ctx: int) -> Graph:
    """One program of two: the kernel says which of both it is called for. The context waits on the stack at `ctx`."""
    spare = max(entry.spare, *entry.blocks) + 1
    renumber = {number_: spare + 1 + index for index, number_ in enumerate(exit_.blocks)}
    out = Graph(name, {n: b.copy() for n, b in entry.blocks.items()}, entry.entry, spare + len(renumber) + 1)
    for number_, block in exit_.blocks.items():
        moved = block.copy()
        moved.next = renumber[block.next] if block.next is not None else None
        moved.taken = renumber[block.taken] if block.taken is not None else None
        out.blocks[renumber[number_]] = moved
    span = next((node.insn.span for node in entry.nodes()), None)
    head, in_entry, in_exit = out.fresh(), out.fresh(), out.fresh()
    restore = Node(load(1, FP, ctx, 8, span))
    low_byte = Node(Insn(isa.BPF_ALU64 | isa.BPF_AND | isa.BPF_K, 0, imm=0xFF, span=span))  # a bool leaves the rest open
    out.blocks[head] = Block(
        [Node(store(FP, ctx, 8, 1, span)), kfunc(IS_RETURN, span), low_byte], if_zero(0, span), in_exit, in_entry
    )
    out.blocks[in_entry] = Block([restore], None, out.entry)
    out.blocks[in_exit] = Block([restore], None, renumber[exit_.entry])
    out.entry = head
    return out


# --- inlining ---------------------------------------------------------------------------------------------------------
def inlined(graph: Graph, callees: Mapping[str, Graph]) -> Graph:
    """The function with the code of `callees` in the place of calls of them. Their frames lie below the caller's. Refused for a
    call behind which the caller still has something to do with r6..r9."""
    out = graph.copy()
    for number_ in list(out.blocks):
        for position in reversed(range(len(out.blocks[number_].nodes))):
            op = out.blocks[number_].nodes[position].op
            if isinstance(op, ops.CallSubprogram) and op.name in callees:
                _inline(out, number_, position, callees[op.name])
    return out


def _inline(out: Graph, number_: int, position: int, callee: Graph) -> None:
    frame = frame_bytes(out)
    rest = split_at(out, number_, position)
    if not _only_ends(out, rest):
        raise Refused(f"{callee.name} is called in the middle of {out.name}")
    moved = {old: out.fresh() for old in callee.blocks}
    for old, block in callee.blocks.items():
        nodes = [item for node in block.nodes for item in _lowered(node, frame)]
        if block.is_exit:
            out.blocks[moved[old]] = Block(nodes, None, rest)
            continue
        following = moved[block.next] if block.next is not None else None
        out.blocks[moved[old]] = Block(nodes, block.end, following, moved[block.taken] if block.taken is not None else None)
    out.blocks[number_].next = moved[callee.entry]


def _only_ends(graph: Graph, number_: int) -> bool:
    """Does nothing follow that needs a register which the call would have kept?"""
    block = graph.blocks[number_]
    while True:
        if any(node.insn.src_reg in (6, 7, 8, 9) or node.insn.dst_reg in (6, 7, 8, 9) for node in block.nodes):
            return False
        if block.end is not None or block.next is None:
            return block.is_exit
        block = graph.blocks[block.next]


def _lowered(node: Node, frame: int) -> list[Node]:
    """The node of an inlined function, its stack `frame` bytes further down."""
    insn = node.insn
    match node.op:
        case ops.Load(base=10) | ops.Store(base=10) | ops.Atomic(base=10):
            return [replace(node, insn=replace(insn, offset=insn.offset - frame))]
        case ops.Alu(kind=AluKind.MOV, width=64, src=10):
            return [node, Node(Insn(isa.BPF_ALU64 | isa.BPF_ADD | isa.BPF_K, insn.dst_reg, imm=-frame, span=insn.span))]
        case _:
            return [node]
