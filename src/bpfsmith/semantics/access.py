"""How a symbolic run reaches memory: what a load gives and what a store leaves, region by region.

What a program reaches through a pointer of its own is followed byte by byte. What it reaches through a number is memory of the
kernel (the verifier lets pointers of known type be read so): a function of the address, that only recorded calls may change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bpfsmith.isa import progtype
from bpfsmith.isa.context import ContextField, FieldKind, Layout
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.domain import signed
from bpfsmith.semantics.fork import branch
from bpfsmith.semantics.memory import Bytes, Initial, Pointer, Region, Target, Value, joined, merge_values
from bpfsmith.semantics.recorded import ORDER, cases, packet_view
from bpfsmith.semantics.state import CTX, Access, State, Unmodelled
from bpfsmith.semantics.terms import Term, Terms

NULL_POINTER = "null-pointer"
"""The gap of an obligation that, when it can happen, is a fault of the program and not of the model."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """The result only holds where `condition` cannot happen; if it can, the verdict is Unknown with this gap."""

    condition: Term
    gap: str
    detail: str


KEPT_BITS = {"tc_index": 16, "tc_classid": 16, "user_port": 16}
"""Context fields of which the kernel keeps fewer bits than it is given (net/core/filter.c: the *_convert_ctx_access)."""

UNFAITHFUL = frozenset({"tstamp_type"})
"""Context fields that may not give back what was stored: the kernel gives some values another meaning."""

NO_QUEUE_MAPPING = 0xFFFF
"""A store of this or more to queue_mapping is left out; it looks at all 64 bits of the register, but an immediate's sign
(net/core/filter.c: bpf_convert_ctx_access)."""

REFERENCES = {
    "bpf_sk_release": ("bpf_sk_lookup_tcp", "bpf_sk_lookup_udp", "bpf_skc_lookup_tcp"),
    "bpf_task_release": ("bpf_task_acquire", "bpf_task_from_pid"),
    "bpf_cgroup_release": ("bpf_cgroup_acquire", "bpf_cgroup_from_id"),
}
"""What is given back by which call: a run has to call it as often as it was given one."""

LARGEST_TABLE = 4096
"""Bytes of constants that may be read at an offset that varies: each is a case of its own."""


@dataclass(slots=True)
class Accessor:
    """Memory as one program's run sees it. `side` tells apart what two programs do not share: their uninitialised stacks."""

    t: Terms
    program: Program
    side: str
    accesses: list[Access] = field(default_factory=list)
    obligations: list[Obligation] = field(default_factory=list)
    reserved: dict[Region, int] = field(default_factory=dict)  # ring buffer reservations and their bytes
    assumed: dict[str, None] = field(default_factory=dict)  # what the run takes for granted, in words
    facts: dict[Term, None] = field(default_factory=dict)  # what holds of the kernel whatever the program does
    sees_packet: bool = False  # has the program got at the kernel's own structure of the packet?
    # Of a program that the verifier refused: when it leaves its memory or follows NULL. None: no accepted program does.
    faults: dict[Term, None] | None = None
    giving: Region | None = None  # the reservation that is being submitted
    insn_idx: int = 0
    context: Layout = ()
    _generation: int = 0
    _moves: set[str] = field(default_factory=set)
    _inner_keys: dict[str, set[Term]] = field(default_factory=dict)
    _written_inside: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.context = progtype.for_section(self.program.section).context

    # --- pointers -----------------------------------------------------------------------------------------------------
    def pointer(self, region: Region, offset: int = 0) -> Pointer:
        return Pointer((Target(self.t.true, region, self.t.const(64, offset)),))

    def shift(self, pointer: Pointer, distance: Term) -> Pointer:
        t = self.t
        return Pointer(tuple(Target(x.guard, x.region, t.add(64, x.offset, distance)) for x in pointer.targets))

    def room(self, target: Target) -> int | None:
        """How many bytes there may be from a target on, at most; None where that is not known."""
        region = target.region
        assert region is not None
        at = signed(64, target.offset.number) if target.offset.is_const else None
        match region.kind:
            case "stack":
                return -at if at is not None else None
            case "data":
                return self.program.map(region.name).value_size
            case "value":
                return mapmodel.value_spec(self.program, region.name).value_size - (at or 0)
            case "record":
                return self.reserved[region] - (at or 0)
            case _:
                return None

    def moves(self, what: str) -> None:
        """Notes that the packet's start moves, or that its metadata is used: the kernel would move one with the other."""
        self._moves.add(what)
        if len(self._moves) > 1:
            raise self.unmodelled("unmodelled-packet", "the packet's start moves, and its metadata is used")

    @property
    def uses_metadata(self) -> bool:
        return "meta" in self._moves

    def whole_length(self, state: State) -> Term:
        """The length of the whole packet (64 bits), of which the linear part may be a piece."""
        t = self.t
        known = next((item for item in self.context if item.name == "len"), None)
        if known is not None:
            length = state.memory(CTX).load(t, t.const(64, known.offset), known.size)
            assert isinstance(length, Term)
            return t.zext(length, 32, 64)
        linear = packet_view(t, state).length
        if not progtype.for_section(self.program.section).frags:
            return linear
        return t.add(64, linear, t.zext(t.app("packet_beyond", 24), 24, 64))

    def clear_field(self, state: State, name: str, condition: Term) -> None:
        """A field of the context becomes zero where `condition` holds."""
        t = self.t
        item = next((item for item in self.context if item.name == name), None)
        if item is None:
            return
        where, zero = t.const(64, item.offset), t.const(8 * item.size, 0)
        old = state.memory(CTX).load(t, where, item.size)
        assert isinstance(old, Term)
        cleared = t.ite(8 * item.size, condition, zero, old)
        state.regions[CTX] = state.memory(CTX).store(t, where, item.size, cleared)

    def new_generation(self) -> Term:
        self._generation += 1
        return self.t.const(32, self._generation)

    def _targets(self, state: State, pointer: Value) -> list[Target]:
        """Where a pointer may lead that is not NULL: that no accepted program reaches memory through NULL is an obligation."""
        if not isinstance(pointer, Pointer):
            raise self.unmodelled("pointer-arithmetic", "memory is written through a number")
        targets = [target for target in pointer.targets if target.region is not None]
        for gap, what, is_number in ((NULL_POINTER, "NULL", False), ("mixed-register", "what may be a number", True)):
            wrong = self.t.any_of(
                *(x.guard for x in pointer.targets if x.region is None and (x.is_number and not x.offset.is_const) is is_number)
            )
            if is_number or self.faults is None:
                self.oblige(self.t.all_of(state.condition, wrong), gap, f"memory is reached through {what}")
            else:
                self.fault(state, wrong)
        if not targets:
            raise self.unmodelled(NULL_POINTER, "memory is reached through NULL")
        return targets

    # --- maps ---------------------------------------------------------------------------------------------------------
    def map_of(self, value: Value) -> tuple[MapSpec, Term | None]:
        """The map that an argument names; for a map inside a map of maps, the outer one and the key that led to it."""
        targets = self._known_targets(value)
        region = targets[0].region if len(targets) == 1 else None
        if region is None or region.kind != "map":
            raise self.unmodelled("unmodelled-map", "the map of a call is not a constant")
        spec = self.program.map(region.name)
        if region.key is not None:
            # Two keys may lead to one map: what is written through one may be read through the other.
            name = f"{spec.name}[]"
            keys = self._inner_keys.setdefault(name, set())
            keys.add(region.key)
            self._one_inside(name)
        return spec, region.key

    def map_spec(self, value: Value) -> MapSpec:
        """The map that an argument names, which is not one inside another."""
        spec, outer_key = self.map_of(value)
        if outer_key is not None:
            raise self.unmodelled("unmodelled-map", f"a call on a map inside {spec.name}")
        return spec

    def _known_targets(self, value: Value) -> list[Target]:
        return [target for target in value.targets if target.region is not None] if isinstance(value, Pointer) else []

    def wrote(self, name: str) -> None:
        """Notes a change to a map that may be one inside another."""
        if name.endswith("[]"):
            self._written_inside.add(name)
            self._one_inside(name)

    def inner_maps_stand_alone(self) -> None:
        """A map inside another may be one that the same run reaches by another way: an obligation where one is written."""
        guards: dict[tuple[str, bool], dict[Term, None]] = {}
        for access in self.accesses:
            guards.setdefault((access.place, access.kind != "load"), {})[access.guard] = None
        specs = {spec.name: spec for spec in (*self.program.maps, *mapmodel.entry_specs(self.program.maps))}
        for (name, writes), ours in guards.items():
            for (other, writes_too), theirs in guards.items():
                alike = (specs[name].type, specs[name].value_size) == (specs[other].type, specs[other].value_size)
                if not (name.endswith("[]") and name != other and alike and (writes or writes_too)):
                    continue
                both = self.t.any_of(*(self.t.all_of(a, b) for a in ours for b in theirs))
                what = f"a map inside {name[:-2]} may be {other.removesuffix('[]')}, and one is written"
                self.oblige(both, "unmodelled-map", what)

    def _one_inside(self, name: str) -> None:
        if name in self._written_inside and len(self._inner_keys.get(name, ())) > 1:
            raise self.unmodelled("unmodelled-map", f"two maps inside {name[:-2]}, which may be the same, and one is written")

    # --- loads --------------------------------------------------------------------------------------------------------
    def load(self, state: State, pointer: Value, offset: int, size: int, *, checked: bool = True) -> Value:
        """`size` bytes at pointer + offset: a term of 8 * size bits, or a pointer that was spilled there. Whether they lie
        inside of what is pointed to is asked elsewhere where that is not `checked` here."""
        t = self.t
        if isinstance(pointer, Term):
            return self._load_kernel(state, t.add(64, pointer, t.const(64, offset)), size)
        result: Value | None = None
        for target in reversed(self._targets(state, pointer)):
            where = t.add(64, target.offset, t.const(64, offset))
            if checked:
                self.fault(state, self._outside(state, target, where, t.const(64, size)))
            value = self._load_from(state, target, where, size)
            result = value if result is None else merge_values(branch(t, target.guard), value, result)
        assert result is not None
        return result

    def _load_from(self, state: State, target: Target, where: Term, size: int, log: bool = True) -> Value:
        region = target.region
        assert region is not None
        match region.kind:
            case "ctx":
                return self._load_ctx(state, where, size)
            case "value":
                entry = self._entry(state, target)
                if log:
                    self._log(state, "load", target, where, size)
                return state.maps[region.name].load(self.t, entry, where, size)
            case "opaque":
                return self._load_opaque(region, where, size)
            case "data":
                frozen = self.program.map(region.name)
                if frozen.frozen and frozen.initial is not None:
                    return self._frozen(frozen.initial, where, size)
                if log and not frozen.frozen:
                    self._log(state, "load", target, where, size)
                return state.memory(region).load(self.t, where, size)
            case "map" | "function":
                raise self.unmodelled("unmodelled-map", f"the inside of the {region.kind} {region.name} is read")
            case _:
                return state.memory(region).load(self.t, where, size)

    def _frozen(self, initial: bytes, where: Term, size: int) -> Value:
        if where.is_const:
            return self.t.const(8 * size, int.from_bytes(initial[where.number : where.number + size], "little"))
        if len(initial) > LARGEST_TABLE:
            raise self.unmodelled("unmodelled-map", "a large constant table is read at an offset that is not constant")
        table = Bytes(lambda offset: self.t.const(8, 0))
        for at, byte in enumerate(initial):
            if byte:
                table = table.store(self.t, self.t.const(64, at), 1, self.t.const(8, byte))
        return table.load(self.t, where, size)

    def _load_opaque(self, region: Region, where: Term, size: int) -> Term:
        """A value whose map is not followed entry by entry: a function of the key, and of what was done to the map before."""
        t = self.t
        assert region.key is not None
        version = () if region.generation is None else (region.generation,)
        name = f"map:{region.name}.value"
        return joined(t, [t.app(name, 8, region.key, *version, t.add(64, where, t.const(64, i))) for i in range(size)])

    def _load_kernel(self, state: State, address: Term, size: int) -> Term:
        """Kernel memory: a fault reads as zero, and only recorded calls may change it. What a program writes elsewhere may
        be what it reads here in one case: fields of the context."""
        t = self.t
        if state.memory(CTX).written() != set():
            raise self.unmodelled("unmodelled-context", "memory of the kernel is read after the context was written")
        if self.sees_packet and state.packet_touched:
            raise self.unmodelled("unmodelled-packet", "memory of the kernel is read after the packet was changed")
        calls = state.calls.get(ORDER, t.const(16, 0))
        return joined(t, [t.app("kernel", 8, t.add(64, address, t.const(64, i)), calls) for i in range(size)])

    # --- stores -------------------------------------------------------------------------------------------------------
    def store(self, state: State, pointer: Value, offset: int, size: int, value: Value, *, checked: bool = True) -> None:
        """The low `size` bytes of a 64-bit `value` (or a pointer, to the stack) at pointer + offset."""
        t = self.t
        targets = self._targets(state, pointer)
        whole = value
        if isinstance(value, Term) and size < 8:
            value = t.extract(value, value.width, 8 * size - 1, 0)
        for target in targets:
            where = t.add(64, target.offset, t.const(64, offset))
            if checked:
                self.fault(state, self._outside(state, target, where, t.const(64, size)))
            new = value
            if len(targets) > 1:
                old = self._load_from(state, target, where, size, log=False)
                if not (isinstance(old, Term) and isinstance(new, Term)):
                    raise self.unmodelled("mixed-pointer", "a pointer is stored through a pointer that has two targets")
                if target.region is not None and target.region.kind != "value":
                    new = t.ite(8 * size, target.guard, new, old)
            if target.region == CTX:
                self._store_ctx(state, where, size, new, whole)
            else:
                self._store_to(state, target, where, size, new)

    def _store_to(self, state: State, target: Target, where: Term, size: int, value: Value) -> None:
        region = target.region
        assert region is not None
        if isinstance(value, Pointer) and (region.kind != "stack" or size != 8):
            raise self.unmodelled("leaked-pointer", "a pointer is stored outside the stack")
        match region.kind:
            case "value":
                assert isinstance(value, Term)
                self._log(state, "store", target, where, size)
                key = self._entry(state, target)
                self.wrote(region.name)
                state.maps[region.name] = state.maps[region.name].poke(target.guard, key, where, size, value)
            case "opaque" | "map" | "function":
                raise self.unmodelled("unmodelled-map", f"a store into an entry of {region.name}")
            case _:
                if region.kind == "data":
                    self._log(state, "store", target, where, size)
                state.regions[region] = state.memory(region).store(self.t, where, size, value)

    def _entry(self, state: State, target: Target) -> Term:
        """The key of a pointed-to entry; a pointer made before the entry was replaced is stale."""
        region = target.region
        assert region is not None
        assert region.key is not None
        assert region.generation is not None
        current = state.maps[region.name].generation(self.t, region.key)
        gone, reused = state.maps[region.name].deleted(self.t, region.key)
        here = self.t.all_of(state.condition, target.guard)
        moved = self.t.negate(self.t.eq(32, current, region.generation))
        what = (
            f"a value pointer of map {region.name} is used after its entry was replaced, or deleted and its place taken again"
        )
        self.oblige(self.t.all_of(here, self.t.any_of(moved, reused)), "stale-value-pointer", what)
        if self.t.all_of(here, gone) is not self.t.false:
            self.assumed[f"{region.name}: no other CPU takes the place of an entry that the run deletes and still uses"] = None
        return region.key

    def _log(self, state: State, kind: str, target: Target, where: Term, size: int) -> None:
        region = target.region
        assert region is not None
        guard = self.t.all_of(state.condition, target.guard)
        offset = where.number if where.is_const and region.kind == "data" else None
        within = where.number if where.is_const else None
        if region.kind == "data":
            within = self.t.remainder(where, mapmodel.stride(self.program.map(region.name)))
        self.accesses.append(
            Access(kind, region.name, offset, size, guard, state.lock, self.insn_idx, within, state.locks_taken)
        )

    # --- the context --------------------------------------------------------------------------------------------------
    def context_byte(self, version: str = "") -> Initial:
        """The context before the run, or after a call that may have changed it: every field is an input, or every byte where
        there are no fields (tracing)."""
        t = self.t
        kinds = (FieldKind.SCALAR, FieldKind.POINTER)
        owners = {item.offset + i: (item, i) for item in self.context if item.kind in kinds for i in range(item.size)}

        def initial(offset: Term) -> Term:
            owner = owners.get(offset.number) if offset.is_const else None
            if owner is None:
                return t.app(f"ctx{version}", 8, offset)
            item, at = owner
            value = self._initial_field(item, version)
            return t.extract(value, 8 * item.size, 8 * at + 7, 8 * at)

        return initial

    def _initial_field(self, item: ContextField, version: str) -> Term:
        t = self.t
        if item.name == "len" and not version:
            # The whole packet, of which data .. data_end is the linear part.
            linear, beyond = t.app("packet_length", 16), t.app("packet_beyond", 24)
            return t.add(32, t.zext(linear, 16, 32), t.zext(beyond, 24, 32))
        return t.app(f"ctx.{item.name}{version}", 8 * item.size)

    def _fields_at(self, where: Term, size: int) -> Iterator[ContextField]:
        if not where.is_const:
            raise self.unmodelled("unmodelled-context", "the context is reached at an offset that is not constant")
        for item in self.context:
            if item.offset <= where.number and where.number + size <= item.offset + item.size:
                yield item

    def _load_ctx(self, state: State, where: Term, size: int) -> Value:
        for item in self._fields_at(where, size):
            match item.kind:
                case FieldKind.SCALAR if item.name in UNFAITHFUL and state.memory(CTX).written() != set():
                    raise self.unmodelled("unmodelled-context", f"the context field {item.name} is read after a store")
                case FieldKind.SCALAR:
                    return state.memory(CTX).load(self.t, where, size)
                case FieldKind.PACKET if size == item.size:
                    return state.packet
                case FieldKind.PACKET_END if size == item.size:
                    return state.packet_end
                case FieldKind.PACKET_META if size == item.size:
                    self.moves("meta")
                    return state.packet_meta
                case FieldKind.POINTER if size == item.size:
                    return state.memory(CTX).load(self.t, where, size)
                case _:
                    raise self.unmodelled("unmodelled-context", f"the context field {item.name}")
        if self.context:
            raise self.unmodelled("unmodelled-context", f"{size} bytes at offset {where.number} of the context")
        return state.memory(CTX).load(self.t, where, size)

    def _store_ctx(self, state: State, where: Term, size: int, value: Value, whole: Value) -> None:
        """`whole` is the register or immediate (64 bits) that `value` is the low bytes of."""
        t = self.t
        if isinstance(value, Pointer) or isinstance(whole, Pointer):
            raise self.unmodelled("unmodelled-context", "a pointer is stored to the context")
        for item in self._fields_at(where, size):
            if item.name == "queue_mapping":
                if size != item.size or (whole.is_const and whole.number >> 63):
                    raise self.unmodelled("unmodelled-context", "a store to a part of queue_mapping, or of a negative number")
                old = state.memory(CTX).load(t, where, size)
                assert isinstance(old, Term)
                kept_low = t.zext(t.extract(whole, 64, 15, 0), 16, 32)
                value = t.ite(32, t.ult(64, whole, t.const(64, NO_QUEUE_MAPPING)), kept_low, old)
            if item.name in UNFAITHFUL or (item.name in KEPT_BITS and size != item.size):
                raise self.unmodelled("unmodelled-context", f"a store to {item.name}, which may keep a part of it")
            kept = KEPT_BITS.get(item.name, 8 * size)
            value = t.zext(t.extract(value, 8 * size, kept - 1, 0), kept, 8 * size)
        state.regions[CTX] = state.memory(CTX).store(t, where, size, value)

    def oblige(self, condition: Term, gap: str, message: str) -> None:
        """The run means nothing where `condition` holds."""
        if condition is not self.t.false and all(known.condition is not condition for known in self.obligations):
            self.obligations.append(Obligation(condition, gap, self.at(message)))

    def fault(self, state: State, condition: Term) -> None:
        """A program that was refused does something forbidden here where `condition` holds."""
        if self.faults is not None and condition is not self.t.false:
            self.faults[self.t.all_of(state.condition, condition)] = None

    def must_hold(self, state: State, pointer: Value, size: Term) -> None:
        """A refused program gives a call `size` bytes (64 bits) behind a pointer: a fault where there are not as many."""
        for target in self._known_targets(pointer):
            self.fault(state, self._outside(state, target, target.offset, size))

    def _outside(self, state: State, target: Target, where: Term, size: Term) -> Term:
        """When `size` bytes at `where` are not all in what a target lies in, as far as its end is known, or that is void."""
        t, region = self.t, target.region
        if self.faults is None or region is None:
            return t.false
        match region.kind:
            case "packet":  # what was the packet before a call that renewed it is void
                ends = (end for end in state.packet_end.targets if end.region == region)
                valid = (t.all_of(end.guard, t.negate(t.slt(64, end.offset, t.add(64, where, size)))) for end in ends)
                return t.all_of(target.guard, t.negate(t.any_of(*valid)))
            case "stack":  # offsets are from its end
                return t.all_of(target.guard, t.slt(64, t.sub(64, t.const(64, 0), size), where))
            case "data":
                spec = self.program.map(region.name)
                room = mapmodel.stride(spec) * spec.max_entries
            case "value":
                room = mapmodel.value_spec(self.program, region.name).value_size
            case "record":
                room = self.reserved[region]
            case _:
                return t.false
        left = t.sub(64, t.const(64, room), size)
        beyond = t.any_of(t.ult(64, t.const(64, room), size), t.ult(64, left, where))
        is_void = region.kind == "record" and region != self.giving
        given_back = self.given_back(state, region) if is_void else t.false
        return t.all_of(target.guard, t.any_of(beyond, given_back))

    def given_back(self, state: State, record: Region) -> Term:
        """Has a reservation been submitted or discarded?"""
        names = (f"bpf_ringbuf_{how}:{record.name}" for how in ("submit", "discard"))
        counts = (state.calls[name] for name in names if name in state.calls)
        return self.t.any_of(*(self.t.negate(self.t.eq(16, count, self.t.const(16, 0))) for count in counts))

    def held(self, state: State) -> Term:
        """Does a run end, in this state, with something that it has not given back, or gave back without holding it?"""
        t = self.t
        wrong = []
        for region in self.reserved:
            name, _, number = region.name.rpartition("#")
            made = t.ult(16, t.const(16, int(number)), state.calls.get(f"bpf_ringbuf_reserve:{name}", t.const(16, 0)))
            given = t.app(f"bpf_ringbuf_reserve:{name}.given", 0, t.const(16, int(number)))
            wrong.append(t.all_of(made, given, t.negate(self.given_back(state, region))))
        for release, takes in REFERENCES.items():
            taken = t.const(16, 0)
            for call in (name for name in takes if name in state.calls):
                for condition, count in cases(t, state.calls[call]):
                    for nth in range(count):
                        is_one = t.all_of(condition, t.negate(t.eq(64, t.app(call, 64, t.const(16, nth)), t.const(64, 0))))
                        taken = t.add(16, taken, t.ite(16, is_one, t.const(16, 1), t.const(16, 0)))
            wrong.append(t.negate(t.eq(16, taken, state.calls.get(release, t.const(16, 0)))))
        return t.any_of(*wrong)

    # --- words --------------------------------------------------------------------------------------------------------
    def at(self, message: str) -> str:
        return f"insn {self.insn_idx}: {message}"

    def unmodelled(self, gap: str, message: str) -> Unmodelled:
        return Unmodelled(gap, self.at(message))
