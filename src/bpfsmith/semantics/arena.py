"""Arenas: memory that a program shares with a process, and reaches by numbers, the process's own addresses.

The memory is laid out in places, each a piece that addresses made for it do not leave: a variable, an array. An address is a
sum of a place's address and a distance; that the distance stays inside is an obligation, which the solver has to discharge.
Where the places lie is given beforehand, so that what is proved is proved for that layout. (kernel/bpf/arena.c;
`addr_space_cast` in kernel/bpf/verifier.c: the kernel looks at the low 32 bits of an address only.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from bpfsmith.ir import ops
from bpfsmith.ir.ops import Reg
from bpfsmith.semantics.apart import PathExecutor
from bpfsmith.semantics.call import CallModel
from bpfsmith.semantics.memory import Initial, Region, Value, joined
from bpfsmith.semantics.state import State, Unmodelled
from bpfsmith.semantics.symbolic import Executor
from bpfsmith.semantics.terms import Term, Terms, rebuild

ARENA = "BPF_MAP_TYPE_ARENA"
BASE = 0x4000_0000
"""Where the arena begins in the process: any page whose arena does not cross 4 GB would do."""

MOST_BASES = 1024
"""Of how many places an address may be that depends on conditions."""

MOST_WAYS = 64
"""Choices in an address that are looked into."""

_THROUGH = ("add", "mul", "concat")

OUTSIDE = "arena-bounds"
"""The gap of an obligation that an address stays in the place that it was made for."""


@dataclass(frozen=True, slots=True)
class Place:
    """`size` bytes at `at` of the arena, which hold `initial` before the run."""

    name: str
    at: int
    size: int
    initial: Initial

    @property
    def region(self) -> Region:
        return Region("arena", self.name)


@dataclass(frozen=True, slots=True)
class Arena:
    """The places of an arena, in the order in which they lie there, without overlap."""

    places: tuple[Place, ...] = ()

    def around(self, address: int) -> Place | None:
        """The place that an address lies in."""
        starts = [place.at for place in self.places]
        index = bisect_right(starts, address - BASE) - 1
        if index < 0:
            return None
        place = self.places[index]
        return place if address - BASE < place.at + place.size else None


@dataclass(slots=True)
class ArenaExecutor(PathExecutor):
    """Executes a program that has an arena, path by path. `constants` are the results of helpers that are known."""

    arena: Arena = Arena()
    constants: Mapping[str, int] = field(default_factory=dict)
    _bases: dict[Term, frozenset[int]] = field(default_factory=dict)

    def prepare(self, state: State) -> None:
        state.initial |= {place.region: place.initial for place in self.arena.places}

    def _step(self, state: State, op: ops.Op) -> None:
        if isinstance(op, ops.LoadMapValue) and self.program.map(op.map).type == ARENA:
            state.registers[op.dst] = self.t.const(64, BASE + op.offset)
        else:
            Executor._step(self, state, op)

    def _called(self, state: State, model: CallModel | None, what: str) -> State:
        if model is not None and model.name == "bpf_skb_change_tail":
            return self._change_tail(state, model, what)
        if model is None or model.name not in self.constants:
            return Executor._called(self, state, model, what)
        state.registers[:6] = [self.t.const(64, self.constants[model.name]), *[None] * 5]
        return state

    def _change_tail(self, state: State, model: CallModel, what: str) -> State:
        """bpf_skb_change_tail: where it does not fail, the packet has the length that was asked for."""
        t, asked = self.t, _low(self.t, self.scalar(state, Reg(2)))
        after = Executor._called(self, state, model, what)
        result = self.scalar(after, Reg(0))
        failed = t.negate(t.eq(64, result, t.const(64, 0)))
        fits = t.eq(64, self.whole_length(after), t.zext(asked, 32, 64))
        self.facts[t.any_of(t.negate(after.condition), failed, fits)] = None
        return after

    def cast(self, state: State, op: ops.AddressCast) -> None:
        t, address = self.t, self.scalar(state, op.src)
        low = t.extract(address, 64, 31, 0)
        value = t.zext(low, 32, 64)
        if op.to_user:
            high = t.const(32, BASE >> 32)
            value = t.ite(64, t.eq(32, low, t.const(32, 0)), t.const(64, 0), t.concat(high, 32, low, 32))
        state.registers[op.dst] = value

    # --- memory -------------------------------------------------------------------------------------------------------
    def load(self, state: State, pointer: Value, offset: int, size: int, *, checked: bool = True) -> Value:
        if not isinstance(pointer, Term):
            return Executor.load(self, state, pointer, offset, size, checked=checked)
        t = self.t
        if size > 1 and self._crosses(pointer, offset, size):
            return joined(t, [part for i in range(size) if isinstance(part := self.load(state, pointer, offset + i, 1), Term)])
        result: Term | None = None
        for guard, place, where in reversed(self._reached(state, pointer, offset, size)):
            value = state.memory(place.region).load(t, where, size)
            assert isinstance(value, Term), "no pointer is stored in an arena"
            result = value if result is None else t.ite(8 * size, guard, value, result)
        return result if result is not None else t.const(8 * size, 0)  # where no address is left, nobody gets here

    def store(self, state: State, pointer: Value, offset: int, size: int, value: Value, *, checked: bool = True) -> None:
        if not isinstance(pointer, Term):
            Executor.store(self, state, pointer, offset, size, value, checked=checked)
            return
        if not isinstance(value, Term):
            raise self.unmodelled("leaked-pointer", "a pointer is stored in an arena")
        t = self.t
        if size > 1 and self._crosses(pointer, offset, size):
            for i in range(size):
                self.store(state, pointer, offset + i, 1, t.zext(t.extract(value, value.width, 8 * i + 7, 8 * i), 8, 64))
            return
        new = t.extract(value, value.width, 8 * size - 1, 0)
        reached = self._reached(state, pointer, offset, size)
        for guard, place, where in reached:
            memory = state.memory(place.region)
            written = new
            if len(reached) > 1:
                old = memory.load(t, where, size)
                assert isinstance(old, Term)
                written = t.ite(8 * size, guard, new, old)
            state.regions[place.region] = memory.store(t, where, size, written)

    def _crosses(self, pointer: Term, offset: int, size: int) -> bool:
        """Compilers join accesses to variables that lie side by side."""
        if not pointer.is_const:
            return False
        first, last = (self.arena.around((pointer.number + offset + i) & 0xFFFFFFFF) for i in (0, size - 1))
        return first is not last

    def _reached(self, state: State, pointer: Term, offset: int, size: int) -> list[tuple[Term, Place, Term]]:
        """Where `size` bytes at pointer + offset lie: a guard, the place, and the distance into it (64 bits)."""
        t = self.t
        address = t.extract(t.add(64, pointer, t.const(64, offset)), 64, 31, 0)
        out = []
        for guard, one in self._ways(address):
            if t.all_of(state.condition, guard) is t.false:
                continue
            places = {self.arena.around(base) for base in self._bases_of(one)}
            place = places.pop()
            if place is None or places:
                raise self._lost(one)
            start = t.const(32, BASE + place.at)
            where = t.zext(t.sub(32, one, start), 32, 64)
            last = place.size - size
            if last < 0:
                raise self.unmodelled(OUTSIDE, f"{size} bytes at the end of {place.name}")
            beyond = t.ult(64, t.const(64, last), where)
            here = t.all_of(state.condition, guard)
            if beyond is not t.false:
                self.oblige(t.all_of(here, beyond), OUTSIDE, f"an address may lead out of {place.name}")
            out.append((guard, place, where))
        return out

    def _lost(self, address: Term) -> Unmodelled:
        return self.unmodelled("arena-address", "an address is not that of a variable plus a distance")

    def _ways(self, address: Term, most: int = MOST_WAYS) -> list[tuple[Term, Term]]:
        """The address without choices between places."""
        t = self.t
        if len({self.arena.around(base) for base in self._bases_of(address)}) <= 1:
            return [(t.true, address)]
        choice = self._choice(address)
        if choice is None or not most:
            raise self._lost(address)
        condition, then, other = choice.args
        out = []
        for guard, way in ((condition, then), (t.negate(condition), other)):
            for below, term in self._ways(self._with(address, choice, way), most - 1):
                out.append((t.all_of(guard, below), term))
        return out

    def _choice(self, term: Term) -> Term | None:
        """A choice between numbers that an address hangs on."""
        if term.op == "ite":
            return term
        if term.op in _THROUGH:
            return next((found for part in term.args if (found := self._choice(part)) is not None), None)
        return None

    def _with(self, term: Term, choice: Term, way: Term) -> Term:
        if term is choice:
            return way
        if term.op not in _THROUGH:
            return term
        return rebuild(self.t, term, [self._with(part, choice, way) for part in term.args])

    def _bases_of(self, term: Term) -> frozenset[int]:
        """The values of an address where all that varies in it is 0: what it is a distance from."""
        known = self._bases.get(term)
        if known is not None:
            return known
        match term.op:
            case "const":
                found = {term.number}
            case "ite":
                found = set(self._bases_of(term.args[1]) | self._bases_of(term.args[2]))
            case "add":
                found = {0}
                for part in term.args:
                    bases = self._bases_of(part)
                    found = {(a + b) & ((1 << term.width) - 1) for a in found for b in bases}
            case "mul":
                found = {1}
                for part in term.args:
                    bases = self._bases_of(part)
                    found = {a * b & ((1 << term.width) - 1) for a in found for b in bases}
            case "concat":
                found = {0}
                for part in term.args:
                    bases = self._bases_of(part)
                    found = {a << part.width | b for a in found for b in bases}
            case _:
                found = {0}
        if len(found) > MOST_BASES:
            raise self.unmodelled("arena-address", "an address depends on too much")
        self._bases[term] = result = frozenset(found)
        return result


def _low(t: Terms, value: Term) -> Term:
    """The low 32 bits."""
    return t.extract(value, 64, 31, 0)


def fixed(t: Terms, content: bytes) -> Initial:
    """Bytes that are known; zeros behind them."""

    def initial(offset: Term) -> Term:
        if offset.is_const:
            return t.const(8, content[offset.number] if offset.number < len(content) else 0)
        value = t.const(8, 0)
        for at, byte in enumerate(content):
            if byte:
                value = t.ite(8, t.eq(64, offset, t.const(64, at)), t.const(8, byte), value)
        return value

    return initial


def unknown(t: Terms, name: str, base: int = 0) -> Initial:
    """Bytes that may be anything: the input `name` from `base` on."""
    return lambda offset: t.app(name, 8, t.add(64, offset, t.const(64, base)))
