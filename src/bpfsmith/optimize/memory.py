"""Memory as the analysis sees it: the stack byte by byte, and the rest by base, offset and version."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bpfsmith.ir import ops
from bpfsmith.ir.ops import Imm, Operand
from bpfsmith.isa.context import FieldKind
from bpfsmith.optimize.effects import SHARED, Surroundings
from bpfsmith.optimize.graph import Node
from bpfsmith.optimize.kinds import ANY, CLASSES, STACK, Kinds, MemoryKinds, read_classes, written_classes
from bpfsmith.optimize.state import Event, State, TooHard
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics.terms import Term, Terms


@dataclass(slots=True)
class Memory:
    """Loads and stores, over one table of terms."""

    t: Terms = field(default_factory=Terms)
    kinds: MemoryKinds = field(default_factory=MemoryKinds)
    _joined: dict[tuple[Term, ...], Term] = field(default_factory=dict)

    # --- addresses ----------------------------------------------------------------------------------------------------
    def place(self, address: Term) -> tuple[Term, int]:
        """An address as base and constant offset."""
        if address.op == "add" and address.args[-1].is_const:
            offset = address.args[-1].number
            rest = address.args[:-1]
            base = rest[0] if len(rest) == 1 else self.t._make("add", 64, rest)
            return base, offset - (1 << 64) if offset >> 63 else offset
        return address, 0

    def read(self, s: State, register: int) -> Term:
        value = s.regs[register]
        if value is None:
            raise TooHard(f"r{register} is read without a value")
        return value

    def operand(self, s: State, operand: Operand) -> Term:
        return self.t.const(64, operand.value) if isinstance(operand, Imm) else self.read(s, operand)

    def unknown(self, node: Node) -> Term:
        """What the loader will put in: the same for relocations that say the same."""
        relo = node.relo
        assert relo is not None
        return self.t.app(f"core:{relo.kind.name}:{relo.type_id}:{relo.access}", 64)

    # --- memory -------------------------------------------------------------------------------------------------------
    def load(self, s: State, node: Node, op: ops.Load, around: Surroundings) -> Term:
        t = self.t
        address = self.read(s, op.base)
        base, offset = self.place(address)
        offset += op.offset
        # Contexts are part of the uapi: what is relocated there stays where it is.
        is_context = base.op == "app" and base.name == "ctx"
        if node.relo is not None and not (is_context and around.context):
            version = t.app("v", 64, *(s.versions[name] for name in CLASSES))
            for other, written in s.stores:
                version = _after_store(t, version, other, written)
            stack = (self.stack_token(s),) if self.kinds.may_be_stack(address) else ()
            return t.app(f"coreload:{op.size}:{op.signed}", 64, address, self.unknown(node), version, *stack)
        if is_context:
            pointer = self._context_pointer(s, offset, op, around)
            if pointer is not None:
                return pointer
        bytes_ = [self.byte(s, base, offset + i) for i in range(op.size)]
        value = self.join(bytes_)
        if op.size == 8:
            return value
        if op.size == 4 and not op.signed and self._may_be_pointer_field(base, offset, bytes_, around):
            return t.concat(t.app("half", 32, value), 32, value, 32)
        return t.sext(value, value.width, 64) if op.signed else t.zext(value, value.width, 64)

    def _may_be_pointer_field(self, base: Term, offset: int, found: list[Term], around: Surroundings) -> bool:
        """A context that came by memory or as an argument: its packet pointers are loaded with 4 bytes and have 64 bits."""
        if offset not in around.narrow_pointers or not self.kinds.of(base) >= ANY:
            return False
        return all(byte.op == "app" and byte.name == "m" for byte in found)

    def join(self, parts: list[Term]) -> Term:
        """Bytes in address order as one little-endian term."""
        key = tuple(parts)
        joined = self._joined.get(key)
        if joined is None:
            joined = self._joined[key] = parts[0] if len(parts) == 1 else self.t._concat(parts[::-1])
        return joined

    def _context_pointer(self, s: State, offset: int, op: ops.Load, around: Surroundings) -> Term | None:
        """A context field that holds a pointer gives all 64 bits of it, whatever the size of the load."""
        t = self.t
        if not around.context_known:
            return t.app(f"pointer:{offset}:{op.size}:{op.signed}", 64, s.versions["ends"])
        for item in around.context:
            if item.offset <= offset < item.offset + item.size and item.kind is not FieldKind.SCALAR:
                packet = item.kind in (FieldKind.PACKET, FieldKind.PACKET_END, FieldKind.PACKET_META)
                name = f"{'packet' if packet else 'pointer'}:{item.name}:{op.size}:{offset - item.offset}"
                return t.app(name, 64, s.versions["ends"])
        return None

    def byte(self, s: State, base: Term, offset: int) -> Term:
        """The byte at a place, under a name of its own when it is not known."""
        t = self.t
        kinds = self.kinds.of(base)
        if base.op == "app" and base.name == "fp":
            return self.stack_byte(s, offset)
        known = s.mem.get((base, offset))
        if known is None:
            tokens = [self.version_for(s, base, kinds)]
            if STACK in kinds:
                # Any byte of the stack may be meant: the whole stack decides.
                tokens.append(self.stack_token(s))
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

    def stack_token(self, s: State, *more: Term) -> Term:
        """One term that stands for the whole stack."""
        listed = self._listed(s)
        rest = s.rest if s.rest is not None else self.t.const(64, 0)
        return self.t.app(f"fresh:{','.join(str(at) for at, _ in listed)}", 64, rest, *(byte for _, byte in listed), *more)

    def version_for(self, s: State, base: Term, kinds: Kinds) -> Term:
        """The version of the memory behind `base`, stores that are not settled yet included."""
        t = self.t
        version = t.app("v", 64, *(s.versions[name] for name in read_classes(kinds)))
        for other, written in s.stores:
            if other is not base and self.kinds.may_overlap(base, other):
                version = _after_store(t, version, other, written)
        return version

    def store(self, s: State, node: Node, op: ops.Store, events: list[Event]) -> None:
        address, value = self.read(s, op.base), self.operand(s, op.src)
        if node.relo is not None:
            if self.kinds.may_be_stack(address):
                self._store_somewhere(s, address, op, value, self.unknown(node))
                if self.kinds.of(address) == {STACK}:
                    return
            self.event(s, events, ("relocated store", op.size, self.unknown(node), address, value))
            self.bump(s, SHARED, self.t.app("relocated", 64, s.versions["any"], address, value))
            return
        self._put(s, op, address, value, events)

    def refine(self, s: State, op: ops.Atomic, events: list[Event]) -> None:
        """An atomic as the load, operation and store that it stands for."""
        address = self.read(s, op.base)
        base, offset = self.place(address)
        width = 8 * op.size
        old = self.join([self.byte(s, base, offset + op.offset + i) for i in range(op.size)])
        given = self.t.extract(self.read(s, op.src), 64, width - 1, 0)
        new = meaning.atomic(self.t, op.kind, width, old, given, old)
        self._put(s, ops.Store(op.base, op.offset, op.size, op.src), address, self.t.zext(new, width, 64), events)

    def _put(self, s: State, op: ops.Store, address: Term, value: Term, events: list[Event]) -> None:
        base, offset = self.place(address)
        offset += op.offset
        parts = [self.t.extract(value, 64, 8 * i + 7, 8 * i) for i in range(op.size)]
        if base.op == "app" and base.name == "fp":
            for i, part in enumerate(parts):
                s.stack[offset + i] = part
            # What was read through bases that may lead to the stack is not known any more.
            self.drop(s, lambda other: STACK in self.kinds.of(other))
            return
        kinds = self.kinds.of(base)
        if "ctx" in kinds:
            self._store_context(s, base, offset, op, value, kinds, events)
            return
        if STACK in kinds:
            self._store_somewhere(s, address, op, value)
            if kinds == {STACK}:
                return
        self.drop(s, lambda other: other is not base and self.kinds.may_overlap(base, other))
        for i, part in enumerate(parts):
            s.mem[base, offset + i] = part
        self._record_store(s, base, {offset + i: part for i, part in enumerate(parts)})

    def _store_context(
        self, s: State, base: Term, offset: int, op: ops.Store, value: Term, kinds: Kinds, events: list[Event]
    ) -> None:
        """What the kernel makes of a store to a field is its own business (of some it keeps 16 bits): nothing is known of the
        context then, but where the packet is."""
        if STACK in kinds:
            raise TooHard("a store to the context or to the stack")
        stored = self.t.extract(value, 64, 8 * op.size - 1, 0)
        self.event(s, events, ("context store", op.size, base, offset, stored))
        self.bump(s, written_classes(kinds), self.t.app(f"context:{offset}:{op.size}", 64, s.versions["ctx"], base, stored))

    def _record_store(self, s: State, base: Term, written: dict[int, Term]) -> None:
        """Joins the store to an earlier one through the same base that nothing between can overlap."""
        for index in range(len(s.stores) - 1, -1, -1):
            other, earlier = s.stores[index]
            if other is base:
                earlier.update(written)
                return
            if self.kinds.may_overlap(base, other):
                break
        s.stores.append((base, dict(written)))

    def _store_somewhere(self, s: State, address: Term, op: ops.Store, value: Term, *more: Term) -> None:
        """A store to the stack at a place that is not constant: every byte may be hit. What a byte is then depends on the
        place, the store, and what it was."""
        t = self.t
        store = t.app("somewhere", 64, address, value, t.const(64, op.offset), t.const(64, op.size), *more)
        listed = self._listed(s)
        s.rest = t.app("fresh", 64, s.rest if s.rest is not None else t.const(64, 0), store)
        s.stack = {at: t.app("fresh", 8, t.const(64, at), byte, store) for at, byte in listed}
        self.drop(s, lambda other: STACK in self.kinds.of(other))

    def drop(self, s: State, condition: Callable[[Term], bool]) -> None:
        """Forgets what is known of the memory behind bases."""
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
            for name in written_classes(self.kinds.of(base)):
                s.versions[name] = _after_store(t, s.versions[name], base, written)
        s.stores = []

    def event(self, s: State, events: list[Event], event: Event) -> None:
        self.flush(s, events)
        events.append(event)

    def flush(self, s: State, events: list[Event]) -> None:
        """Hands the stores that were collected over to the events."""
        for base, written in s.stores:
            events.append(("stores", base, tuple(sorted(written.items()))))
        self.settle(s)

    def bump(self, s: State, classes: Iterable[str], token: Term) -> None:
        """These kinds of memory may hold anything from now on, which `token` decides."""
        changed = frozenset(classes)
        if not changed:
            return
        for name in changed | {"any"}:
            s.versions[name] = self.t.app(f"bump:{name}", 64, token)
        self.drop(s, lambda other: bool((changed | {"any"}) & set(read_classes(self.kinds.of(other)))))


def _after_store(t: Terms, version: Term, base: Term, written: dict[int, Term]) -> Term:
    offsets = ",".join(map(str, sorted(written)))
    return t.app(f"stored:{offsets}", 64, version, base, *(written[at] for at in sorted(written)))
