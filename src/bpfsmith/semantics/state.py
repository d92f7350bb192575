"""The state of a symbolic run at one point, and how the states of two branches become one."""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfsmith.semantics.choices import ordered
from bpfsmith.semantics.fork import Fork, decides, fork
from bpfsmith.semantics.memory import Bytes, HashMap, Initial, Pointer, Region, Target, Value, merge_bytes, merge_values
from bpfsmith.semantics.terms import Term, Terms

PACKET, CTX = Region("packet"), Region("ctx")
COOKIE = Region("cookie")
"""The 8 bytes that the runs of a session on the way in and out share."""


class Unmodelled(Exception):
    """The program does something that the meaning here does not cover: an Unknown verdict, never a guess.

    `gap` is a short kebab-case name ("unmodelled-helper"), `detail` a sentence with the instruction.
    """

    def __init__(self, gap: str, detail: str) -> None:
        super().__init__(f"{gap}: {detail}")
        self.gap, self.detail = gap, detail


@dataclass(frozen=True, slots=True)
class Access:
    """One touch of memory that other CPUs share: `kind` is load, store, update (indivisible), insert (an update
    that leaves an entry alone which is there) or add.

    `place` names the map; `offset` and `size` are bytes into it (offset None: depends on a key). `locked` is the condition
    under which a bpf_spin_lock is held, `section` how many locks were taken before. An "add" is an update whose old value
    nobody sees. `within` is where in its entry an access lies that an instruction makes (None: not a constant)."""

    kind: str
    place: str
    offset: int | None
    size: int
    guard: Term
    locked: Term
    insn_idx: int | None = None
    within: int | None = None
    section: Term | None = None


@dataclass(slots=True)
class State:
    """Registers, memory and counters under a path condition.

    `path` is a conjunction kept as a set, so that the common part of two branches can be seen. `calls` counts what each
    nondeterministic helper was asked so far (16-bit terms). `lock` is the condition under which a lock is held.
    """

    t: Terms
    path: frozenset[Term]
    registers: list[Value | None]
    regions: dict[Region, Bytes]
    maps: dict[str, HashMap]
    calls: dict[str, Term]
    lock: Term
    locks_taken: Term
    packet: Pointer  # where ctx->data and ctx->data_end point
    packet_end: Pointer
    packet_meta: Pointer  # where ctx->data_meta points: so many bytes before the packet
    initial: dict[Region, Initial] = field(default_factory=dict)

    @classmethod
    def start(cls, t: Terms) -> State:
        length = t.zext(t.app("packet_length", 16), 16, 64)
        before = t.sub(64, t.const(64, 0), t.zext(t.app("packet_meta_length", 8), 8, 64))
        first, last, meta = (Pointer((Target(t.true, PACKET, offset),)) for offset in (t.const(64, 0), length, before))
        return cls(t, frozenset(), [None] * 11, {}, {}, {}, t.false, t.const(16, 0), first, last, meta)

    def copy(self) -> State:
        return State(
            self.t, self.path, list(self.registers), dict(self.regions), dict(self.maps), dict(self.calls), self.lock,
            self.locks_taken, self.packet, self.packet_end, self.packet_meta, self.initial,
        )  # fmt: skip

    @property
    def packet_touched(self) -> bool:
        """Is the packet, its start or its end not what it was in the beginning?"""
        at_start = self.packet.targets[0].region == PACKET and len(self.packet.targets) == 1
        moved = not at_start or self.packet.targets[0].offset is not self.t.const(64, 0)
        ended = self.packet_end.targets[0].offset is not self.t.zext(self.t.app("packet_length", 16), 16, 64)
        return moved or ended or self.memory(PACKET).written() != set()

    @property
    def condition(self) -> Term:
        return self.t.all_of(*self.path)

    def assume(self, condition: Term) -> State | None:
        """A copy on whose path `condition` holds too, or None when it cannot."""
        parts = condition.args if condition.op == "conj" else (condition,)
        if condition is self.t.false or any(self.t.negate(part) in self.path for part in parts):
            return None
        state = self.copy()
        state.path = self.path.union(part for part in parts if part is not self.t.true)
        state.packet, state.packet_end = state._decided(state.packet), state._decided(state.packet_end)
        return state

    def _decided(self, pointer: Pointer) -> Pointer:
        """A pointer whose offset depended on what the path knows now: a packet that was moved, or was not."""
        known = []
        for target in pointer.targets:
            offset = target.offset
            if offset.op == "ite":
                condition, then, other = offset.args
                holds = decides(self.t, self.path, condition)
                if holds is not None:
                    offset = then if holds else other
            known.append(target if offset is target.offset else Target(target.guard, target.region, offset))
        return Pointer(tuple(known))

    def known(self, condition: Term) -> Term:
        """`condition` as far as the path decides it."""
        if condition in self.path:
            return self.t.true
        if self.t.negate(condition) in self.path:
            return self.t.false
        return condition

    def memory(self, region: Region) -> Bytes:
        """The contents of a region, as they were at the start when untouched."""
        known = self.regions.get(region)
        if known is None:
            known = self.regions[region] = _untouched(self.t, region, self.initial)
        return known

    def next_call(self, helper: str, guard: Term | None = None) -> Term:
        """The number of this call of a nondeterministic helper (16 bits, from 0)."""
        t = self.t
        number = self.calls.get(helper, t.const(16, 0))
        step = t.const(16, 1) if guard is None else t.ite(16, guard, t.const(16, 1), t.const(16, 0))
        self.calls[helper] = t.add(16, number, step)
        return number


def _untouched(t: Terms, region: Region, cache: dict[Region, Initial]) -> Bytes:
    """Untouched bytes are inputs named after their region: one function a region, so that states see their common past."""
    initial = cache.get(region)
    if initial is None:
        kind = {"data": "map"}.get(region.kind, region.kind)
        name = f"{kind}:{region.name}" if region.name else kind

        def initial(offset: Term) -> Term:
            # Nothing is recorded before the first call.
            return t.const(8, 0) if kind == "calls" else t.app(name, 8, offset)

        cache[region] = initial
    return Bytes(initial)


def _merged_pointer(paths: Fork, a: Pointer, b: Pointer) -> Pointer:
    merged = merge_values(paths, a, b)
    assert isinstance(merged, Pointer)
    return merged


def merge(a: State, b: State) -> State:
    """One state for both paths: every part is `a`'s where the condition that tells the paths apart holds, else `b`'s."""
    t = a.t
    common = a.path & b.path
    only_a, only_b = t.all_of(*(a.path - common)), t.all_of(*(b.path - common))
    either = t.any_of(only_a, only_b)
    paths = fork(t, a.path, b.path)
    choose = paths.condition
    path = common if either is t.true else common | (set(either.args) if either.op == "conj" else {either})
    state = State(
        t,
        frozenset(path),
        [None if x is None or y is None else merge_values(paths, x, y) for x, y in zip(a.registers, b.registers, strict=True)],
        {},
        {},
        {},
        t.ite(0, choose, a.lock, b.lock),
        paths.ite(16, a.locks_taken, b.locks_taken),
        _merged_pointer(paths, a.packet, b.packet),
        _merged_pointer(paths, a.packet_end, b.packet_end),
        _merged_pointer(paths, a.packet_meta, b.packet_meta),
        a.initial,
    )
    for region in (*a.regions, *(region for region in b.regions if region not in a.regions)):
        state.regions[region] = merge_bytes(paths, a.memory(region), b.memory(region))
    for name in a.maps:
        state.maps[name] = a.maps[name].merge(choose, b.maps[name])
    zero = t.const(16, 0)
    for helper in sorted(a.calls.keys() | b.calls.keys()):
        state.calls[helper] = paths.ite(16, a.calls.get(helper, zero), b.calls.get(helper, zero))
    _order_choices(state, a, b)
    return state


def _order_choices(state: State, a: State, b: State) -> None:
    """Offsets that were joined from two states are brought into an order that is the same for all compilers."""

    def in_order(value: Value) -> Value:
        if isinstance(value, Term):
            return ordered(state.t, state.path, value)
        return Pointer(tuple(Target(x.guard, x.region, ordered(state.t, state.path, x.offset)) for x in value.targets))

    for number, (value, x, y) in enumerate(zip(state.registers, a.registers, b.registers, strict=True)):
        if value is not None and value is not x and value is not y:
            state.registers[number] = in_order(value)
    for pointer in ("packet", "packet_end"):
        setattr(state, pointer, in_order(getattr(state, pointer)))
    for region, memory in state.regions.items():
        if region.kind == "stack":
            known = [side.memory(region).cells for side in (a, b)]
            for at, (size, value) in memory.cells.items():
                if all(cells.get(at, (0, None))[1] is not value for cells in known):
                    memory.cells[at] = size, in_order(value)
