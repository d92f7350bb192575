"""The fixed point of `values` over the blocks of one function, or of two at once (`simulate`).

With two functions a node is a pair of blocks that are reached together; each side runs on until its next open branch, so that
merged, split, threaded and moved blocks correspond by themselves. Places of both functions are put into classes together:
that is how equalities between registers of the one and registers of the other are found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bpfsmith.ir import ops
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.facts import Facts, extent, indexed, is_told, known, of_entry
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.state import VERSIONS, Event, State, TooHard
from bpfsmith.optimize.values import Values
from bpfsmith.semantics.terms import Term, Terms, leading_zeros

MAX_ROUNDS = 400
MAX_CHAIN = 10_000

MAX_CASES = 6
"""How many conditions the runs through one pair of blocks may be told apart by."""

MAX_GROWN = 3
"""How often the bounds of a number may be widened."""

Key = tuple[int, ...]
"""A block of each side; behind them the conditions that are assumed from the start, by number, negative if they are false."""
Watch = Callable[[int, Node, State, Facts], None]
"""Called before each instruction of a block: position, instruction, state, facts."""


@dataclass(slots=True)
class End:
    """How a side's run through a node ends: "exit" with r0, "go" to `next`, or "branch" on `condition`."""

    kind: str
    condition: Term | None = None
    next: int | None = None
    taken: int | None = None
    result: Term | None = None


@dataclass(slots=True)
class Entry:
    states: tuple[State, ...]
    facts: Facts

    def same(self, other: Entry) -> bool:
        return self.facts == other.facts and all(a.same(b) for a, b in zip(self.states, other.states, strict=True))


class Mismatch(Exception):
    """The two functions part here; says where and how."""


@dataclass(slots=True)
class Flow:
    """`sides` are the functions; with one, every block is a node of its own (`follow` False)."""

    values: Values
    sides: tuple[tuple[Graph, Surroundings], ...]
    follow: bool = False
    entries: dict[Key, Entry] = field(default_factory=dict)
    edges: dict[Key, list[tuple[Key, Entry]]] = field(default_factory=dict)
    split: set[Key] = field(default_factory=set)
    liveness: object = None  # kept here for as long as the graph stays as it is
    _bounds: dict[Term, tuple[int, int, int]] = field(default_factory=dict)
    _rank: dict[int, int] = field(default_factory=dict)
    _kinds_grown: int = 0

    def run(self) -> Flow:
        """To the fixed point. Raises TooHard, and Mismatch when two functions cannot be followed together."""
        start = tuple(graph.entry for graph, _ in self.sides)
        self._rank = {number: rank for rank, number in enumerate(self.sides[0][0].order())}
        first = Entry(tuple(self.values.start(around) for _, around in self.sides), frozenset())
        self.entries = {start: first}
        dirty = {start}
        rounds: dict[Key, int] = {}
        while dirty:
            key = min(dirty, key=lambda item: (self._rank.get(item[0], 0), item))
            dirty.discard(key)
            rounds[key] = rounds.get(key, 0) + 1
            if rounds[key] > MAX_ROUNDS:
                raise TooHard("no fixed point was found")
            before = {item for item, _ in self.edges.get(key, ())}
            self.edges[key] = self._leave(key)
            for target in dict.fromkeys([*before, *(item for item, _ in self.edges[key])]):
                incoming = [entry for found in self.edges.values() for item, entry in found if item == target]
                if target == start:
                    incoming.insert(0, first)
                if not incoming:
                    continue
                merged = incoming[0] if len(incoming) == 1 else self._merge(target, incoming)
                known = self.entries.get(target)
                if known is None or not known.same(merged):
                    self.entries[target] = merged
                    dirty.add(target)
            if self.values.kinds.grown != self._kinds_grown:
                # What a pointer may lead to has grown: everything that was said of overlaps is said again.
                self._kinds_grown = self.values.kinds.grown
                dirty |= set(self.entries)
        reached = self._reached(start)
        for key in [item for item in self.entries if item not in reached]:
            del self.entries[key]
        return self

    def _reached(self, start: Key) -> set[Key]:
        seen, pending = {start}, [start]
        while pending:
            for target, _ in self.edges.get(pending.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    pending.append(target)
        return seen

    # --- one node -----------------------------------------------------------------------------------------------------
    def _leave(self, key: Key) -> list[tuple[Key, Entry]]:
        entry = self.entries[key]
        self.split.discard(key)
        states, ends = [], []
        for side, number in enumerate(key[: len(self.sides)]):
            state = entry.states[side].copy()
            events: list[Event] = []
            ends.append(self.through(side, number, state, entry.facts, events, self.tag(key)))
            states.append(state)
        ways = self._ways(key, tuple(states), entry.facts, ends)
        return [self._ahead(target, way) for target, way in ways] if self.follow else ways

    def _ahead(self, key: Key, entry: Entry) -> tuple[Key, Entry]:
        """Past blocks that do nothing but branch, where this way decides them: where it meets others that may be forgotten."""
        out = []
        for side, start in enumerate(key[: len(self.sides)]):
            graph, number = self.sides[side][0], start
            for _ in range(len(graph.blocks)):
                block = graph.blocks[number]
                if block.nodes or block.end is None or block.next is None or not isinstance(block.end.op, ops.Branch):
                    break
                condition = self.values.condition(entry.states[side], block.end.op)
                decided = known(self.values, condition, entry.facts)
                following = block.taken if decided else block.next
                if decided is None or following is None:
                    break
                number = following
            out.append(number)
        return (*out, *key[len(self.sides) :]), entry

    def through(
        self, side: int, number: int, state: State, facts: Facts, events: list[Event], tag: str, watch: Watch | None = None
    ) -> End:
        """Runs one side from block `number` to its next open branch (or the end of the block); changes `state`."""
        graph, around = self.sides[side]
        values = self.values
        for _ in range(MAX_CHAIN):
            block = graph.blocks[number]
            for position, node in enumerate(block.nodes):
                if watch is not None:
                    watch(position, node, state, facts)
                values.step(state, node, around, events, tag)
            if block.end is None or block.next is None:
                if block.end is not None:
                    values.flush(state, events)
                    return End("exit", result=state.regs[0])
                following = block.next
            else:
                op = block.end.op
                if watch is not None:
                    watch(len(block.nodes), block.end, state, facts)
                condition = self._condition(state, op, events, tag)
                decided = known(values, condition, facts)
                if decided is None and self.follow:
                    decided = of_entry(values, condition, facts)
                if decided is None:
                    values.flush(state, events)
                    return End("branch", condition, block.next, block.taken)
                following = block.taken if decided else block.next
            assert following is not None
            if not self.follow:
                values.flush(state, events)
                return End("go", next=following)
            number = following
        raise TooHard("a loop without a way out")

    def _condition(self, state: State, op: ops.Op, events: list[Event], tag: str) -> Term:
        if isinstance(op, ops.Branch):
            return self.values.condition(state, op)
        self.values.flush(state, events)
        events.append(("may_goto",))
        return self.values.t.app(f"may_goto:{tag}:{len(events)}", 0)

    def _ways(self, key: Key, states: tuple[State, ...], facts: Facts, ends: list[End]) -> list[tuple[Key, Entry]]:
        kinds = {end.kind for end in ends}
        if len(kinds) > 1:
            return self._cases(key, next(end.condition for end in ends if end.condition is not None))
        if kinds == {"exit"}:
            return []
        if kinds == {"go"}:
            return [(tuple(end.next for end in ends if end.next is not None), Entry(states, facts))]
        condition = ends[0].condition
        assert condition is not None
        taken, other = [], []
        for end in ends:
            assert end.condition is not None and end.taken is not None and end.next is not None
            if end.condition is condition:
                taken.append(end.taken)
                other.append(end.next)
            elif end.condition is self.values.t.negate(condition):
                taken.append(end.next)
                other.append(end.taken)
            else:
                return self._cases(key, condition)
        out = []
        for targets, held in ((taken, condition), (other, self.values.t.negate(condition))):
            out.append((tuple(targets), self._assume(Entry(states, facts), held)))
        return out

    def _cases(self, key: Key, condition: Term) -> list[tuple[Key, Entry]]:
        """One side branches where the other does not: both are run again from here, once for each outcome. The condition is
        about values that this very run makes, which have the same names in every case."""
        if len(key) - len(self.sides) >= MAX_CASES:
            raise Mismatch(f"blocks {key[:2]}: one side branches on {condition!r}, the other does not")
        entry = self.entries[key]
        self.split.add(key)
        out = []
        for sign, held in ((1, condition), (-1, self.values.t.negate(condition))):
            parts = held.args if held.op == "conj" else (held,)
            out.append(((*key, sign * (condition.ident + 1)), Entry(entry.states, entry.facts | set(parts))))
        return out

    def tag(self, key: Key) -> str:
        """A name for the place, which all cases share."""
        return tag_of(key[: len(self.sides)])

    def _assume(self, entry: Entry, held: Term) -> Entry:
        """The state on the way on which `held` is true; what equals a constant there is that constant."""
        parts = held.args if held.op == "conj" else (held,)
        facts = entry.facts | set(parts)
        states = tuple(state.copy() for state in entry.states)
        equal = {variable: constant for part in parts for variable, constant in _equal(self.values.t, part)}
        for state in states if equal else ():
            state.regs = [replaced(self.values.t, value, equal) for value in state.regs]
            state.stack = {at: equal.get(byte, byte) for at, byte in state.stack.items()}
            state.mem = {place: equal.get(byte, byte) for place, byte in state.mem.items()}
        return Entry(states, facts)

    # --- where paths meet ---------------------------------------------------------------------------------------------
    def _merge(self, key: Key, incoming: list[Entry]) -> Entry:
        classes = _Classes(self.values, self.tag(key))
        states = []
        # Registers of all sides first: memory is cut into the pieces that they hold.
        for side in range(len(self.sides)):
            states.append(self._merge_registers(side, [entry.states[side] for entry in incoming], classes))
        for side, state in enumerate(states):
            self._merge_memory(side, [entry.states[side] for entry in incoming], classes, state)
        facts = incoming[0].facts
        for entry in incoming[1:]:
            facts &= entry.facts
        return Entry(tuple(states), facts | self._ranges(classes, incoming))

    def _ranges(self, classes: _Classes, incoming: list[Entry]) -> set[Term]:
        """Bounds of the numbers that a meeting point names anew, where every path has some: at most 4 on this one, 5 on that.
        One that keeps growing counts around a loop, and is given up."""
        t, out = self.values.t, set[Term]()
        told = [indexed(entry.facts) for entry in incoming]
        for parts, phi in classes.made.items():
            if not all(is_told(part, known) for part, known in zip(parts, told, strict=True)):
                continue
            found = [extent(part, known) for part, known in zip(parts, told, strict=True)]
            low, high, grown = min(low for low, _ in found), max(high for _, high in found), 0
            if low == 0 and high + 1 == 1 << phi.width:
                continue
            before = self._bounds.get(phi)
            if before is not None:
                grown = before[2] + (low < before[0] or high > before[1])
                low, high = min(low, before[0]), max(high, before[1])
            self._bounds[phi] = low, high, grown
            if grown > MAX_GROWN:
                continue
            if high + 1 < 1 << phi.width:
                out.add(t.ult(phi.width, phi, t.const(phi.width, high + 1)))
            if low > 0:
                out.add(t.negate(t.ult(phi.width, phi, t.const(phi.width, low))))
        return out - {t.true}

    def _merge_registers(self, side: int, given: list[State], classes: _Classes) -> State:
        out = State([None] * 11)
        for register in range(11):
            held = [state.regs[register] for state in given]
            present = [value for value in held if value is not None]
            if len(present) == len(held):
                out.regs[register] = classes.phi(present, f"{side}r{register}")
        return out

    def _merge_memory(self, side: int, given: list[State], classes: _Classes, out: State) -> None:
        t = self.values.t
        for name in VERSIONS:
            out.versions[name] = classes.phi([state.versions[name] for state in given], f"{side}v{name}")
        rests = [state.rest for state in given]
        if all(rest is rests[0] for rest in rests):
            out.rest = rests[0]
        else:
            out.rest = classes.phi([rest if rest is not None else t.const(64, 0) for rest in rests], f"{side}rest")
        places = {at for state in given for at in state.stack}
        alike = dict(set(given[0].stack.items()).intersection(*(state.stack.items() for state in given[1:])))
        rows = {at: tuple(self.values.stack_byte(state, at) for state in given) for at in places if at not in alike}
        apart = {at for at, row in rows.items() if any(value is not row[0] for value in row)}
        for at in sorted(places - apart):
            out.stack[at] = alike[at] if at in alike else rows[at][0]
        for at in sorted(apart):
            if at in out.stack:
                continue
            size, joined = self._piece(at, apart, classes, lambda i, path: rows[i][path], len(given))
            value = classes.phi(joined, f"{side}s{at}")
            for i in range(size):
                out.stack[at + i] = t.extract(value, 8 * size, 8 * i + 7, 8 * i)
        first = given[0].mem
        out.mem = {place: byte for place, byte in first.items() if all(state.mem.get(place) is byte for state in given[1:])}
        for register in range(10):
            address = out.regs[register]
            if address is None:
                continue
            root, start = self.values.place(address)
            if root.op == "app" and root.name.startswith(f"phi:{classes.tag}:"):
                self._merge_behind(root, start, [state.regs[register] for state in given], given, out, classes)

    def _piece(
        self, at: int, present: set[int], classes: _Classes, byte: Callable[[int, int], Term], paths: int
    ) -> tuple[int, list[Term]]:
        """How many bytes from `at` on belong together, and what they are on each path: as a register has them if one does."""
        fitting = [n for n in (8, 4, 2, 1) if at % n == 0 and all(at + i in present for i in range(n))]
        pieces = []
        for n in fitting:
            pieces.append((n, [self.values.join([byte(at + i, path) for i in range(n)]) for path in range(paths)]))
            if n > 1 and classes.has(pieces[-1][1]):
                return pieces[-1]
        return next((n, joined) for n, joined in pieces if n < 8 or any(may_be_address(value) for value in joined))

    def _merge_behind(
        self, address: Term, start: int, held: list[Term | None], given: list[State], out: State, classes: _Classes
    ) -> None:
        """What is known on every path of the memory that a pointer leads to, which is another one on each; what was held is
        `start` bytes past `address`."""
        places = []
        for value in held:
            assert value is not None
            base, offset = self.values.place(value)
            places.append((base, offset - start))
        first, ahead = places[0]
        known = {
            at - ahead
            for base, at in given[0].mem
            if base is first and all((b, o + at - ahead) in state.mem for (b, o), state in zip(places, given, strict=True))
        }
        for at in sorted(known):
            if (address, at) in out.mem:
                continue
            size, joined = self._piece(
                at, known, classes, lambda i, path: given[path].mem[places[path][0], places[path][1] + i], len(given)
            )
            value = classes.phi(joined, f"{address.ident}m{at}")
            for i in range(size):
                out.mem[address, at + i] = self.values.t.extract(value, 8 * size, 8 * i + 7, 8 * i)


def tag_of(key: Key) -> str:
    return "/".join(map(str, key))


@dataclass(slots=True)
class _Classes:
    """The phis of one meeting point: places that hold the same on every path share one."""

    values: Values
    tag: str
    made: dict[tuple[Term, ...], Term] = field(default_factory=dict)
    inside: dict[tuple[Term, ...], Term] = field(default_factory=dict)  # the bytes of wider ones

    def has(self, held: list[Term]) -> bool:
        """Does a place hold exactly this already?"""
        size = self._size(held)
        return tuple(self.values.t.extract(value, value.width, size - 1, 0) for value in held) in self.made

    @staticmethod
    def _size(held: list[Term]) -> int:
        """The bits that matter: those that are zero on every path stay known to be."""
        width = held[0].width
        narrow = width - min(leading_zeros(value) for value in held)
        return next((n for n in (8, 16, 32) if narrow <= n < width), width)

    def phi(self, held: list[Term], leader: str) -> Term:
        first = held[0]
        if all(value is first for value in held):
            return first
        t = self.values.t
        width = first.width
        if width == 64 and not any(may_be_address(value) for value in held):
            # Numbers in two halves, so that one that was stored as two, or of which one half is dead, is the same.
            low = self.phi([t.extract(value, 64, 31, 0) for value in held], leader + "l")
            return t.concat(self.phi([t.extract(value, 64, 63, 32) for value in held], leader + "h"), 32, low, 32)
        offset = self.values.place(first)[1] if width == 64 else 0
        if offset:
            # Addresses that differ by a constant on all paths share a phi.
            distance = t.const(64, offset)
            return t.add(64, self.phi([t.sub(64, value, distance) for value in held], leader), distance)
        size = self._size(held)
        parts = tuple(t.extract(value, width, size - 1, 0) for value in held)
        made = self.made.get(parts) or self._inside(parts, size, leader)
        if made is None:
            made = self.made[parts] = t.app(f"phi:{self.tag}:{leader}:{size}", size)
            for bit in range(0, size, 8) if size in (16, 32) else ():
                self.inside.setdefault(self._byte(parts, bit), t.extract(made, size, bit + 7, bit))
        if made.op == "app":
            self.values.kinds.add_sources(made, held)
        return t.zext(made, size, width)

    def _inside(self, parts: tuple[Term, ...], size: int, leader: str) -> Term | None:
        """A number of which bytes have a name already, as they lie in memory in other pieces elsewhere; None where none has."""
        if size not in (8, 16, 32):
            return None
        t = self.values.t
        bytes_ = [self._byte(parts, low) for low in range(0, size, 8)]
        found = [self.inside.get(key) or self.made.get(key) for key in bytes_]
        if not any(found):
            return None
        for index, key in enumerate(bytes_):
            if found[index] is None and all(byte is key[0] for byte in key):
                found[index] = key[0]
            elif found[index] is None:
                found[index] = self.made[key] = t.app(f"phi:{self.tag}:{leader}b{index}:8", 8)
        return t._concat([part for part in reversed(found) if part is not None])

    def _byte(self, parts: tuple[Term, ...], low: int) -> tuple[Term, ...]:
        return tuple(self.values.t.extract(part, part.width, low + 7, low) for part in parts)


def may_be_address(value: Term) -> bool:
    """Could these 64 bits be a pointer? Sums may, inputs may, and eight bytes of memory."""
    if value.op == "concat":
        return all(part.op == "app" and part.width == 8 and part.name == "m" for part in value.args)
    return value.op in ("app", "add")


def _equal(t: Terms, condition: Term) -> Iterator[tuple[Term, Term]]:
    """What a condition says is a constant: a value, and the pieces that it was put together from."""
    if condition.op != "eq" or not condition.args[1].is_const:
        return
    variable, constant = condition.args
    yield variable, constant
    if variable.op == "concat":
        top = variable.width
        for piece in variable.args:
            bottom = top - piece.width
            if not piece.is_const:
                yield piece, t.extract(constant, variable.width, top - 1, bottom)
            top = bottom


def replaced(t: Terms, value: Term | None, equal: Mapping[Term, Term]) -> Term | None:
    """`value` with constants for what they equal, where that is the value itself or a piece of it."""
    if value is None or value in equal:
        return value and equal[value]
    if value.op == "concat" and any(arg in equal for arg in value.args):
        return t._concat([equal.get(arg, arg) for arg in value.args])
    return value
