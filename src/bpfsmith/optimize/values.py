"""What every register and byte of memory holds at every point of a function, as terms: the analysis that the passes ask, and,
over two functions at once, the proof that one may take the place of the other.

Each place holds a `Term`; places with the same term hold the same value. Inputs, results of calls and memory that is not known
are apps named after where they come from. Where paths meet, places are put into classes by what they hold on each path, and a
class that holds different things gets a name of its own ("phi"), so that loops are covered too: the state at each block is
the greatest fixed point, found by starting with what the first path brings and only ever giving up equalities. A term never
outlives the loop round in which it was made: it can only be held where the place that made it dominates, in reducible code.

Memory is the function's own stack, byte by byte, and everything else. The latter is cut into kinds that do not overlap
(context, packet, each map, each data section; "any" overlaps them all), each with a version that stores and calls change. Other
CPUs are taken to be able to write at any time; that a value which is read twice without a call or an atomic in between is read
once is one of the orders that they may cause.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bpfsmith.ir import ops
from bpfsmith.ir.ops import AluKind, AtomicKind, Imm, Operand
from bpfsmith.isa.context import FieldKind
from bpfsmith.isa.tables import HELPERS
from bpfsmith.optimize import effects
from bpfsmith.optimize.effects import ANYTHING, HELPER_EFFECTS, Surroundings
from bpfsmith.optimize.graph import Node
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics.terms import Term, Terms, leading_zeros

STACK = "stack"
STACK_BYTES = 512
CLASSES = ("ctx", "packet", "map", "data", "any")


class TooHard(Exception):
    """The analysis does not cover this function; says why."""


@dataclass(slots=True, eq=False)
class State:
    """Registers (None: no value that may be read), stack bytes by offset from r10, other memory by base and offset, the
    version of each kind of memory, and the stores since the versions were last settled (base, offset -> byte)."""

    regs: list[Term | None]
    stack: dict[int, Term] = field(default_factory=dict)
    mem: dict[tuple[Term, int], Term] = field(default_factory=dict)
    versions: dict[str, Term] = field(default_factory=dict)
    stores: list[tuple[Term, dict[int, Term]]] = field(default_factory=list)
    # What made stack bytes that `stack` does not list (None: nothing has, they are as the function found them).
    rest: Term | None = None

    def copy(self) -> State:
        stores = [(base, dict(written)) for base, written in self.stores]
        return State(list(self.regs), dict(self.stack), dict(self.mem), dict(self.versions), stores, self.rest)

    def same(self, other: State) -> bool:
        return (
            self.regs == other.regs
            and self.stack == other.stack
            and self.mem == other.mem
            and self.versions == other.versions
            and self.rest is other.rest
        )


Event = tuple[object, ...]
"""Something that can be seen from outside, or that everything after depends on: what it is, and the terms that it is given."""


@dataclass(slots=True)
class Values:
    """The transfer functions, over one table of terms. One instance serves all functions that are to be compared."""

    t: Terms = field(default_factory=Terms)
    sources: dict[Term, set[Term]] = field(default_factory=dict)  # what a phi was made of
    kinds_grown: int = 0
    _kinds: dict[Term, frozenset[str]] = field(default_factory=dict)

    # --- entry --------------------------------------------------------------------------------------------------------
    def start(self, around: Surroundings) -> State:
        t = self.t
        regs: list[Term | None] = [None] * 11
        regs[10] = t.app("fp", 64)
        if around.is_program:
            regs[1] = t.app("ctx", 64)
        else:
            for register in range(1, 6):
                regs[register] = t.app(f"arg:{register}", 64)
        return State(regs, versions={name: t.app(f"start:{name}", 64) for name in CLASSES})

    # --- addresses ----------------------------------------------------------------------------------------------------
    def place(self, address: Term) -> tuple[Term, int]:
        """An address as base and constant offset."""
        if address.op == "add" and address.args[-1].is_const:
            offset = address.args[-1].number
            rest = address.args[:-1]
            base = rest[0] if len(rest) == 1 else self.t._make("add", 64, rest)
            return base, offset - (1 << 64) if offset >> 63 else offset
        return address, 0

    def kinds(self, base: Term) -> frozenset[str]:
        """The kinds of memory that a base may point into; a number alone points nowhere."""
        known = self._kinds.get(base)
        if known is None:
            known = self._kinds[base] = self._kinds_of(base, set())
        return known

    def add_sources(self, phi: Term, held: Iterable[Term]) -> None:
        """Notes what a phi is made of; counts it when that lets the phi lead to more kinds of memory."""
        known = self.sources.get(phi)
        if known is None:
            self.sources[phi] = set(held)
            self._kinds.pop(phi, None)
            return
        new = set(held) - known
        if not new:
            return
        before = self.kinds(phi)
        known |= new
        if not all(self.kinds(self.place(source)[0]) <= before for source in new):
            self._kinds.clear()
            self.kinds_grown += 1

    def _kinds_of(self, base: Term, seen: set[Term]) -> frozenset[str]:
        if base in seen:
            return frozenset()
        seen.add(base)
        if base.op == "app":
            return self._kinds_of_input(base, seen)
        if base.op == "add":
            found = [self._kinds_of(arg, seen) for arg in base.args if not arg.is_const]
            precise = [kinds for kinds in found if kinds and "any" not in kinds]
            return frozenset().union(*(precise or found)) if found else frozenset()
        if base.is_const or leading_zeros(base) > 0 or base.op in ("mul", "udiv", "urem", "and", "or", "xor", "sext", "ite"):
            return frozenset({STACK, "any"}) if base.op in ("ite", "or", "xor", "and") and _mentions_fp(base) else frozenset()
        return self._loaded_kinds(base)

    def _kinds_of_input(self, base: Term, seen: set[Term]) -> frozenset[str]:
        name, _, rest = base.name.partition(":")
        match name:
            case "fp":
                return frozenset({STACK})
            case "ctx":
                return frozenset({"ctx"})
            case "packet":
                return frozenset({"packet"})
            case "data" | "lookup":
                return frozenset({f"{'data' if name == 'data' else 'map'}:{rest.split('#')[0]}"})
            case "phi":
                made_of = self.sources.get(base, set())
                return frozenset().union(*(self._kinds_of(source, seen) for source in made_of))
            case "uninit" | "out" | "fresh":
                return frozenset({STACK, "any"})
            case _:
                return frozenset({"any"})

    def _loaded_kinds(self, base: Term) -> frozenset[str]:
        """A pointer that was put together from bytes: from the stack's unknown bytes it may lead there."""
        parts = base.args if base.op == "concat" else (base.args[0],) if base.op == "extract" else (base,)
        for part in parts:
            inner = part.args[0] if part.op == "extract" else part
            if inner.op != "app" or inner.name.partition(":")[0] in ("uninit", "out", "fresh", "phi", "fp"):
                return frozenset({STACK, "any"})
        return frozenset({"any"})

    def may_overlap(self, a: Term, b: Term) -> bool:
        """Can two different bases lead to one byte?"""
        first, second = self.kinds(a) or frozenset({"any"}), self.kinds(b) or frozenset({"any"})
        return any(_overlap(x, y) for x in first for y in second)

    def may_be_stack(self, value: Term | None) -> bool:
        return value is not None and STACK in self.kinds(self.place(value)[0])

    # --- one instruction ----------------------------------------------------------------------------------------------
    def step(self, s: State, node: Node, around: Surroundings, events: list[Event], tag: str) -> None:
        """Executes one instruction that is no jump. What can be seen of it goes to `events`; `tag` names the place."""
        t = self.t
        op = node.op
        match op:
            case ops.Alu(kind=AluKind.MOV, width=64, dst=dst, src=src) if not isinstance(src, Imm):
                s.regs[dst] = s.regs[src]
            case ops.Alu(kind=kind, width=width, dst=dst, src=src):
                value = self._unknown(node) if node.relo is not None else self._operand(s, src)
                before = value if kind is AluKind.MOV else self.read(s, dst)
                s.regs[dst] = meaning.alu(t, kind, width, before, value)
            case ops.Negate(width=width, dst=dst):
                s.regs[dst] = meaning.negate(t, width, self.read(s, dst))
            case ops.MoveSigned(width=width, bits=bits, dst=dst, src=src):
                s.regs[dst] = meaning.move_signed(t, width, bits, self.read(s, src))
            case ops.ByteOrder(to=to, bits=bits, dst=dst):
                s.regs[dst] = meaning.byte_order(t, to, bits, self.read(s, dst))
            case ops.LoadImm(dst=dst, value=value):
                s.regs[dst] = self._unknown(node) if node.relo is not None else t.const(64, value)
            case ops.LoadMap(dst=dst, map=name):
                s.regs[dst] = t.app(f"map:{name}", 64)
            case ops.LoadMapValue(dst=dst, map=name, offset=offset):
                s.regs[dst] = t.add(64, t.app(f"data:{name}", 64), t.const(64, offset))
            case ops.LoadFunction(dst=dst, name=name):
                s.regs[dst] = t.app(f"function:{name}", 64)
            case ops.Load(dst=dst, acquire=False):
                s.regs[dst] = self._load(s, node, op, around)
            case ops.Store(release=False):
                self._store(s, node, op, events)
            case ops.Load() | ops.Store() | ops.Atomic():
                self._atomic(s, node, op, events, tag)
            case ops.LoadSkb(offset=offset, size=size, index=index):
                given = (self._get(s, 6), None if index is None else self._get(s, index))
                self._event(s, events, ("load_skb", offset, size, *given))
                self._clobber(s, t.app(f"skb:{tag}:{len(events)}", 64))
            case ops.CallHelper() | ops.CallKfunc() | ops.CallSubprogram():
                self._call(s, node, around, events, tag)
            case _:
                raise TooHard(f"{type(op).__name__} is not analysed")

    def _get(self, s: State, register: int) -> Term | None:
        return s.regs[register]

    def read(self, s: State, register: int) -> Term:
        value = s.regs[register]
        if value is None:
            raise TooHard(f"r{register} is read without a value")
        return value

    def _operand(self, s: State, operand: Operand) -> Term:
        return self.t.const(64, operand.value) if isinstance(operand, Imm) else self.read(s, operand)

    def _unknown(self, node: Node) -> Term:
        """What the loader will put in: the same for relocations that say the same."""
        relo = node.relo
        assert relo is not None
        return self.t.app(f"core:{relo.kind.name}:{relo.type_id}:{relo.access}", 64)

    def condition(self, s: State, op: ops.Branch) -> Term:
        """Is the branch taken? A term of width 0."""
        return meaning.condition(self.t, op.condition, op.width, self.read(s, op.left), self._operand(s, op.right))

    # --- memory -------------------------------------------------------------------------------------------------------
    def _load(self, s: State, node: Node, op: ops.Load, around: Surroundings) -> Term:
        t = self.t
        address = self.read(s, op.base)
        if node.relo is not None:
            version = t.app("v", 64, *(s.versions[name] for name in CLASSES))
            for other, written in s.stores:
                version = _after_store(t, version, other, written)
            return t.app(f"coreload:{op.size}:{op.signed}", 64, address, self._unknown(node), version)
        base, offset = self.place(address)
        offset += op.offset
        if base.op == "app" and base.name == "ctx":
            pointer = self._context_pointer(s, offset, op, around)
            if pointer is not None:
                return pointer
        bytes_ = [self.byte(s, base, offset + i) for i in range(op.size)]
        value = self.join(bytes_)
        if op.size == 8:
            return value
        return t.sext(value, value.width, 64) if op.signed else t.zext(value, value.width, 64)

    def join(self, parts: list[Term]) -> Term:
        """Bytes in address order as one little-endian term."""
        return parts[0] if len(parts) == 1 else self.t._concat(list(reversed(parts)))

    def _context_pointer(self, s: State, offset: int, op: ops.Load, around: Surroundings) -> Term | None:
        """A context field that holds a pointer gives all 64 bits of it, whatever the size of the load."""
        t = self.t
        if not around.context_known:
            return t.app(f"pointer:{offset}:{op.size}:{op.signed}", 64, s.versions["ctx"])
        for item in around.context:
            if item.offset <= offset < item.offset + item.size and item.kind is not FieldKind.SCALAR:
                packet = item.kind in (FieldKind.PACKET, FieldKind.PACKET_END, FieldKind.PACKET_META)
                name = f"{'packet' if packet else 'pointer'}:{item.name}:{op.size}:{offset - item.offset}"
                return t.app(name, 64, s.versions["ctx"])
        return None

    def byte(self, s: State, base: Term, offset: int) -> Term:
        """The byte at a place, under a name of its own when it is not known."""
        t = self.t
        kinds = self.kinds(base)
        if base.op == "app" and base.name == "fp":
            return self.stack_byte(s, offset)
        known = s.mem.get((base, offset))
        if known is None:
            tokens = [self._version_for(s, base, kinds)]
            if STACK in kinds:
                # Any byte of the stack may be meant: the whole stack decides.
                tokens.append(self._stack_token(s))
            known = t.app("m", 8, base, t.const(64, offset), *tokens)
            s.mem[base, offset] = known
        return known

    def stack_byte(self, s: State, offset: int) -> Term:
        """The byte at r10 + offset."""
        known = s.stack.get(offset)
        if known is not None:
            return known
        t = self.t
        at = t.const(64, offset)
        return t.app("uninit", 8, at) if s.rest is None else t.app("fresh", 8, at, s.rest)

    def _listed(self, s: State) -> list[tuple[int, Term]]:
        """The stack bytes that are not what the rest is."""
        bare = State([], rest=s.rest)
        return [(at, byte) for at, byte in sorted(s.stack.items()) if byte is not self.stack_byte(bare, at)]

    def _stack_token(self, s: State, *more: Term) -> Term:
        """One term that stands for the whole stack."""
        listed = self._listed(s)
        rest = s.rest if s.rest is not None else self.t.const(64, 0)
        return self.t.app(f"fresh:{','.join(str(at) for at, _ in listed)}", 64, rest, *(byte for _, byte in listed), *more)

    def _version_for(self, s: State, base: Term, kinds: frozenset[str]) -> Term:
        """The version of the memory behind `base`, stores that are not settled yet included."""
        t = self.t
        version = t.app("v", 64, *(s.versions[name] for name in _read_classes(kinds)))
        for other, written in s.stores:
            if other is not base and self.may_overlap(base, other):
                version = _after_store(t, version, other, written)
        return version

    def _store(self, s: State, node: Node, op: ops.Store, events: list[Event]) -> None:
        t = self.t
        address, value = self.read(s, op.base), self._operand(s, op.src)
        if node.relo is not None:
            if self.may_be_stack(address):
                raise TooHard("a relocated store to the stack")
            self._event(s, events, ("relocated store", op.size, self._unknown(node), address, value))
            self._bump(s, ANYTHING, self.t.app("relocated", 64, s.versions["any"], address, value))
            return
        base, offset = self.place(address)
        offset += op.offset
        parts = [t.extract(value, 64, 8 * i + 7, 8 * i) for i in range(op.size)]
        if base.op == "app" and base.name == "fp":
            for i, part in enumerate(parts):
                s.stack[offset + i] = part
            # What was read through bases that may lead to the stack is not known any more.
            self._drop(s, lambda other: STACK in self.kinds(other))
            return
        kinds = self.kinds(base)
        if STACK in kinds:
            self._store_somewhere(s, address, op, value)
            if kinds == {STACK}:
                return
        self._drop(s, lambda other: other is not base and self.may_overlap(base, other))
        for i, part in enumerate(parts):
            s.mem[base, offset + i] = part
        self._record_store(s, base, {offset + i: part for i, part in enumerate(parts)})

    def _record_store(self, s: State, base: Term, written: dict[int, Term]) -> None:
        """Joins the store to an earlier one through the same base that nothing between can overlap."""
        for index in range(len(s.stores) - 1, -1, -1):
            other, earlier = s.stores[index]
            if other is base:
                earlier.update(written)
                return
            if self.may_overlap(base, other):
                break
        s.stores.append((base, dict(written)))

    def _store_somewhere(self, s: State, address: Term, op: ops.Store, value: Term) -> None:
        """A store to the stack at a place that is not constant: every byte may be hit."""
        t = self.t
        s.rest = self._stack_token(s, address, value, t.const(64, op.offset), t.const(64, op.size))
        s.stack = {}
        self._drop(s, lambda other: STACK in self.kinds(other))

    def _drop(self, s: State, condition: object) -> None:
        assert callable(condition)
        verdicts: dict[Term, bool] = {}
        for key in list(s.mem):
            base = key[0]
            verdict = verdicts.get(base)
            if verdict is None:
                verdict = verdicts[base] = condition(base)
            if verdict:
                del s.mem[key]

    def settle(self, s: State) -> None:
        """Makes the stores since the last time part of the versions."""
        t = self.t
        for base, written in s.stores:
            for name in _written_classes(self.kinds(base)):
                s.versions[name] = _after_store(t, s.versions[name], base, written)
        s.stores = []

    def _event(self, s: State, events: list[Event], event: Event) -> None:
        self.flush(s, events)
        events.append(event)

    def flush(self, s: State, events: list[Event]) -> None:
        """Hands the stores that were collected over to the events."""
        for base, written in s.stores:
            events.append(("stores", base, tuple(sorted(written.items()))))
        self.settle(s)

    def _bump(self, s: State, classes: Iterable[str], token: Term) -> None:
        changed = frozenset(classes)
        if not changed:
            return
        for name in changed:
            s.versions[name] = self.t.app(f"bump:{name}", 64, token)
        self._drop(s, lambda other: bool(changed & set(_read_classes(self.kinds(other)))))

    # --- atomics and calls --------------------------------------------------------------------------------------------
    def _atomic(self, s: State, node: Node, op: ops.Load | ops.Store | ops.Atomic, events: list[Event], tag: str) -> None:
        t = self.t
        if node.relo is not None:
            raise TooHard("a relocated atomic")
        address = self.read(s, op.base)
        base, offset = self.place(address)
        offset += op.offset
        if self.may_be_stack(address):
            if isinstance(op, ops.Atomic) and base.op == "app" and base.name == "fp":
                self._atomic_on_stack(s, op, offset)
                return
            raise TooHard("an atomic somewhere on the stack")
        given: list[Term] = []
        if not isinstance(op, ops.Load):
            given.append(t.extract(self._operand(s, op.src), 64, 8 * op.size - 1, 0))
        if isinstance(op, ops.Atomic) and op.kind is AtomicKind.CMPXCHG:
            given.append(t.extract(self.read(s, 0), 64, 8 * op.size - 1, 0))
        what = f"{type(op).__name__}:{op.kind}:{op.fetch}" if isinstance(op, ops.Atomic) else type(op).__name__
        self._event(s, events, ("atomic", what, op.size, base, offset, *given))
        result = t.app(f"atomic:{tag}:{len(events)}", 8 * op.size)
        if isinstance(op, ops.Load):
            s.regs[op.dst] = t.zext(result, result.width, 64)
        elif isinstance(op, ops.Atomic) and op.fetch:
            s.regs[0 if op.kind is AtomicKind.CMPXCHG else op.src] = t.zext(result, result.width, 64)
        token = t.app(f"after:{tag}:{len(events)}", 64)
        ordered = not isinstance(op, ops.Atomic) or op.fetch
        self._bump(s, ANYTHING if ordered else _written_classes(self.kinds(base)), token)

    def _atomic_on_stack(self, s: State, op: ops.Atomic, offset: int) -> None:
        """Nobody else sees the stack: an atomic there is a load and a store."""
        t, width = self.t, 8 * op.size
        old = self.join([self.stack_byte(s, offset + i) for i in range(op.size)])
        expected = t.extract(self.read(s, 0), 64, width - 1, 0) if op.kind is AtomicKind.CMPXCHG else old
        new = meaning.atomic(t, op.kind, width, old, t.extract(self.read(s, op.src), 64, width - 1, 0), expected)
        for i in range(op.size):
            s.stack[offset + i] = t.extract(new, width, 8 * i + 7, 8 * i)
        self._drop(s, lambda other: STACK in self.kinds(other))
        if op.fetch:
            s.regs[0 if op.kind is AtomicKind.CMPXCHG else op.src] = t.zext(old, width, 64)

    def _clobber(self, s: State, result: Term) -> None:
        s.regs[0] = result
        s.regs[1:6] = [None] * 5

    def _call(self, s: State, node: Node, around: Surroundings, events: list[Event], tag: str) -> None:
        t, op = self.t, node.op
        assert isinstance(op, ops.CallHelper | ops.CallKfunc | ops.CallSubprogram)
        registers = effects.uses(node, around)
        given = [s.regs[register] for register in registers]
        effect = HELPER_EFFECTS.get(op.helper_id) if isinstance(op, ops.CallHelper) else None
        name = str(op.helper_id) if isinstance(op, ops.CallHelper) else op.name
        if effect is None:
            self._unknown_call(s, f"{type(op).__name__}:{name}", given, events, tag)
            return
        if effect.pure and not given:
            self._clobber(s, t.app(f"ret:{name}", 64))
            return
        assert isinstance(op, ops.CallHelper)
        reads, writes = self._touched(s, effect, around)
        where = self._map_name(s.regs[1])
        if (
            op.helper_id == effects.LOOKUP
            and where is not None
            and where in around.maps
            and around.maps[where].type in effects.ARRAYS
        ):
            key = self._bytes_read(s, reads)
            if len(key) == 4:
                self._clobber(s, t.app(f"lookup:{where}#array", 64, *key))
                return
        seen = self._bytes_read(s, reads)
        self._event(s, events, ("call", name, *given, *seen))
        serial = f"{tag}:{len(events)}"
        changes = set(effect.changes)
        for register, size, whole in writes:
            changes |= self._write(s, s.regs[register], size, whole, f"{serial}:{register}")
        self._bump(s, changes, t.app(f"after:{serial}", 64))
        if op.helper_id == effects.LOOKUP and where is not None:
            self._clobber(s, t.app(f"lookup:{where}#{serial}", 64))
        else:
            self._clobber(s, self._result(name, serial))

    def _result(self, name: str, serial: str) -> Term:
        t = self.t
        helper = HELPERS.get(int(name)) if name.isdigit() else None
        if helper is not None and helper.returns in ("u32",):
            return t.zext(t.app(f"ret:{name}:{serial}", 32), 32, 64)
        return t.app(f"ret:{name}:{serial}", 64)

    @staticmethod
    def _map_name(value: Term | None) -> str | None:
        return (
            value.name.removeprefix("map:")
            if value is not None and value.op == "app" and value.name.startswith("map:")
            else None
        )

    def _touched(
        self, s: State, effect: effects.HelperEffect, around: Surroundings
    ) -> tuple[list[tuple[int, int | None]], list[tuple[int, int | None, bool]]]:
        """The registers that lead to memory that is read (with its bytes, None: unknown) and written (and whether wholly)."""
        reads: list[tuple[int, int | None]] = []
        writes: list[tuple[int, int | None, bool]] = []
        spec = around.maps.get(self._map_name(s.regs[1]) or "")
        for register, item in enumerate(effect.arguments, 1):
            if item.kind in ("u32", "u64", "ctx", "ctx!", "map"):
                continue
            size: int | None = item.size or None
            if item.size_in is not None:
                given = s.regs[item.size_in]
                size = self.t.extract(given, 64, 31, 0).number if given is not None and given.is_const else None
            elif item.size_of:
                size = (spec.key_size if item.size_of == "key" else spec.value_size) if spec is not None else None
            if item.kind in ("in", "inout"):
                reads.append((register, size))
            if item.kind in ("out", "inout", "text", "may", "got"):
                writes.append((register, size, item.kind == "out" and size is not None))
        return reads, writes

    def _bytes_read(self, s: State, reads: list[tuple[int, int | None]]) -> tuple[Term, ...]:
        out: list[Term] = []
        for register, size in reads:
            value = s.regs[register]
            if value is None or not self.may_be_stack(value):
                continue
            base, offset = self.place(value)
            if base.op == "app" and base.name == "fp":
                end = 0 if size is None else offset + size
                out += [self.byte(s, base, at) for at in range(offset, min(end, 0))]
            else:
                out += self._whole_stack(s)
        return tuple(out)

    def _whole_stack(self, s: State) -> list[Term]:
        return [self._stack_token(s)]

    def _write(self, s: State, value: Term | None, size: int | None, whole: bool, serial: str) -> frozenset[str]:
        """A helper writes behind a pointer; the kinds of memory beside the stack that this may change."""
        if value is None:
            return frozenset()
        base, offset = self.place(value)
        kinds = self.kinds(base)
        if base.op == "app" and base.name == "fp":
            end = 0 if size is None else min(offset + size, 0)
            self._scribble(s, range(offset, end), whole, serial)
            return frozenset()
        if STACK in kinds:
            s.rest, s.stack = self._stack_token(s, self.t.app(f"out:{serial}", 64)), {}
            self._drop(s, lambda other: STACK in self.kinds(other))
        return frozenset(_written_classes(kinds))

    def _scribble(self, s: State, places: range, whole: bool, serial: str) -> None:
        t = self.t
        for at in places:
            old = () if whole else (self.stack_byte(s, at),)
            s.stack[at] = t.app(f"out:{serial}", 8, t.const(64, at), *old)
        self._drop(s, lambda other: STACK in self.kinds(other))

    def _unknown_call(self, s: State, name: str, given: list[Term | None], events: list[Event], tag: str) -> None:
        t = self.t
        # What it reads through a pointer into the stack may hold further pointers into the stack.
        reaches = any(self.may_be_stack(value) for value in given)
        seen = self._whole_stack(s) if reaches else []
        self._event(s, events, ("call", name, *given, *seen))
        serial = f"{tag}:{len(events)}"
        if reaches:
            # All of it was compared, so that what it becomes depends on the call alone.
            s.rest, s.stack = t.app(f"fresh:{serial}", 64), {}
            self._drop(s, lambda other: STACK in self.kinds(other))
        self._bump(s, ANYTHING, t.app(f"after:{serial}", 64))
        helper = name.partition(":")[2] if name.startswith("CallHelper") else ""
        self._clobber(s, self._result(helper or name, serial))


def _mentions_fp(term: Term) -> bool:
    return any(arg.op == "app" and arg.name == "fp" for arg in (term, *term.args))


def _overlap(a: str, b: str) -> bool:
    if a == b:
        return True
    if STACK in (a, b):
        return False
    return "any" in (a, b) or (a.startswith("map:") and b.startswith("map:") and "?" in (a[4:], b[4:]))


def _read_classes(kinds: frozenset[str]) -> tuple[str, ...]:
    """The versions that memory of these kinds depends on. "any" changes with every store."""
    found = {kind.partition(":")[0] for kind in kinds} - {STACK}
    return ("any",) if "any" in found or not found else tuple(sorted(found))


def _written_classes(kinds: frozenset[str]) -> tuple[str, ...]:
    """The versions that a store to memory of these kinds changes."""
    found = {kind.partition(":")[0] for kind in kinds} - {STACK}
    return CLASSES if "any" in found or not found else tuple(sorted(found | {"any"}))


def _after_store(t: Terms, version: Term, base: Term, written: dict[int, Term]) -> Term:
    offsets = ",".join(map(str, sorted(written)))
    return t.app(f"stored:{offsets}", 64, version, base, *(written[at] for at in sorted(written)))
