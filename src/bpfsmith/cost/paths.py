"""Every path through a program, without running it: a walk with what is known of registers, stack and packet length.

Branches that are decided are followed; at the others the walk forks, the likely side first (helpers succeed, the packet is
long enough). Loops with constant bounds come out exactly. A branch that stays open in a loop is taken `_PATIENCE` times, then
the loop is left, and the path says so.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace

from bpfsmith.cost.path_memory import EVERYWHERE, Memory
from bpfsmith.cost.path_state import (
    Decision,
    Frame,
    Path,
    Paths,
    State,
    address_of,
    is_likely,
    known_value,
    needed_length,
    note_found,
    operand_of,
)
from bpfsmith.cost.steps import ARGUMENTS, Call, Step
from bpfsmith.cost.values import MASK64, Names, Pointer, Unknown, Value, alu, decided, unary
from bpfsmith.execution import MapContents
from bpfsmith.ir import ops
from bpfsmith.ir.lift import lift
from bpfsmith.ir.ops import AtomicKind, Branch, Condition, Op
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import ProgramType, for_section
from bpfsmith.isa.tables import HELPER_IDS, HELPERS
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics.domain import CONCRETE

MOST_PATHS = 256
_MOST_STEPS = 100_000  # of one path
_ALL_STEPS = 400_000  # of all paths together
_PATIENCE = 8
_LONGEST_LOOP = 1_024  # turns of bpf_loop that are walked
_TAIL_CALL, _LOOP = HELPER_IDS["bpf_tail_call"], HELPER_IDS["bpf_loop"]
_FRESH_LOOKUPS = frozenset(
    HELPER_IDS[f"bpf_{name}"]
    for name in (
        "map_lookup_elem", "map_lookup_percpu_elem", "task_storage_get", "sk_storage_get", "ringbuf_reserve",
        "inode_storage_get", "cgrp_storage_get",
    )
)  # fmt: skip
_ALWAYS_THERE = frozenset(("BPF_MAP_TYPE_ARRAY", "BPF_MAP_TYPE_PERCPU_ARRAY"))


_READS_ONLY = frozenset(
    HELPER_IDS[f"bpf_{name}"] for name in ("map_lookup_elem", "map_update_elem", "map_delete_elem", "csum_diff")
)
_CHANGES_PACKET = frozenset(
    HELPER_IDS[f"bpf_{name}"]
    for name in ("xdp_adjust_head", "xdp_adjust_tail", "skb_change_tail", "skb_change_head", "skb_adjust_room")
)  # fmt: skip


_WRITES_PACKET = frozenset(
    number
    for number, helper in HELPERS.items()
    if any(word in helper.name for word in ("store_bytes", "adjust", "change", "replace", "vlan", "pull_data", "set_tunnel"))
)
_REDIRECTS = frozenset(number for number, helper in HELPERS.items() if "redirect" in helper.name)


def paths(
    program: Program, *, packet: bytes | None = None, maps: Mapping[str, MapContents] | None = None, most: int = MOST_PATHS
) -> Paths:
    """The paths of `program`, or those that `packet` and these map contents leave open. InputError `malformed-bytecode`."""
    return _Walk(program, packet, maps or {}).all(most)


class _Walk:
    def __init__(self, program: Program, packet: bytes | None, maps: Mapping[str, MapContents]) -> None:
        self.program, self.packet, self.maps = program, packet, maps
        bodies = {program.name: program.insns} | {sub.name: sub.insns for sub in program.subprograms}
        self.code: dict[str, tuple[Op, ...]] = {name: lift(insns) for name, insns in bodies.items()}
        self.kind: ProgramType = for_section(program.section)
        self.specs = {spec.name: spec for spec in program.maps}
        self.names = Names()
        self.memory = Memory(self.names, packet, self.kind, self.specs)
        self.pending: list[State] = []

    def all(self, most: int) -> Paths:
        start = State(self.program.name, registers=[self.names.fresh() for _ in range(11)])
        start.registers[1], start.registers[10] = Pointer("ctx"), Pointer("stack", 0, 512)
        if self.packet is not None:
            start.shortest = start.longest = len(self.packet)
        self.pending = [start]
        found: list[Path] = []
        taken = 0
        while self.pending and len(found) < most and taken < _ALL_STEPS:
            state = self.pending.pop()
            before = len(state.steps)
            found.append(self._follow(state))
            taken += len(found[-1].steps) - before
        return Paths(tuple(found), not self.pending)

    def _follow(self, state: State) -> Path:
        while True:
            code = self.code.get(state.function)
            if code is None or state.at >= len(code):
                state.notes[f"the function {state.function} is not part of the program"] = None
                return self._ended(state, None)
            if len(state.steps) >= _MOST_STEPS:
                state.notes[f"cut off after {_MOST_STEPS:,} instructions"] = None
                return self._ended(state, None)
            op = code[state.at]
            here = state.at
            state.at += 1
            match op:
                case ops.Exit():
                    state.steps.append(Step(state.function, here, op))
                    if not state.frames:
                        result = state.registers[0]
                        return self._ended(state, result & 0xFFFFFFFF if isinstance(result, int) else None)
                    self._return(state)
                case ops.Jump(target=target) | ops.MayGoto(target=target):
                    state.steps.append(Step(state.function, here, op))
                    state.at = target if isinstance(op, ops.Jump) else state.at
                case ops.Branch():
                    state.steps.append(Step(state.function, here, op))
                    self._branch(state, op, here)
                case ops.CallSubprogram(name=name):
                    state.steps.append(Step(state.function, here, op))
                    self._enter(state, name, state.registers[1:6])
                case ops.CallHelper(helper_id=number):
                    state.steps.append(Step(state.function, here, op, call=self._call(state)))
                    if number == _TAIL_CALL:
                        path = self._ended(state, None)
                        return replace(path, tail_call=True)
                    self._helper(state, number)
                case ops.CallKfunc():
                    state.steps.append(Step(state.function, here, op, call=self._call(state)))
                    state.registers[0] = Pointer("other", self.names.fresh(), 0, nullable=True)
                    self._clobber(state)
                case _:
                    state.steps.append(Step(state.function, here, op, address_of(state, op)))
                    self._step(state, op)

    def _ended(self, state: State, result: int | None) -> Path:
        last = state.registers[0]
        origin = last.name if result is None and isinstance(last, Unknown) else None
        redirects = isinstance(origin, tuple) and origin[:1] == ("helper",) and origin[1] in _REDIRECTS
        return Path(tuple(state.steps), tuple(state.decisions), result, False, tuple(state.notes), redirects)

    # --- calls ---------------------------------------------------------------------------------------------------------
    def _enter(self, state: State, name: str, arguments: list[Value], loop: tuple[int, int, str, Value] | None = None) -> None:
        state.frames.append(Frame(state.function, state.at, state.registers[6:], state.loop))
        state.function, state.at, state.loop = name, 0, loop
        state.registers[1 : 1 + len(arguments)] = arguments
        state.registers[10] = Pointer("stack", (len(state.frames), len(state.steps)), 512)

    def _return(self, state: State) -> None:
        frame, loop = state.frames.pop(), state.loop
        state.function, state.at, state.loop = frame.function, frame.at, frame.loop
        state.registers[6:] = frame.saved
        self._clobber(state)
        if loop is not None:
            turn, turns, callback, context = loop
            goes_on = (turn + 1 < turns and state.registers[0] == 0) or (
                turn + 1 < turns and not isinstance(state.registers[0], int)
            )
            if goes_on:
                self._enter(state, callback, [turn + 1, context], (turn + 1, turns, callback, context))
            else:
                state.registers[0] = turn + 1

    def _clobber(self, state: State) -> None:
        for number in range(1, ARGUMENTS + 1):
            state.registers[number] = self.names.fresh()

    def _call(self, state: State) -> Call:
        arguments = state.registers[1 : ARGUMENTS + 1]
        named = next((str(item.region) for item in arguments if isinstance(item, Pointer) and item.kind == "map"), None)
        key = arguments[1]
        at = (key.kind, key.region, key.offset) if isinstance(key, Pointer) and key.offset is not None else None
        return Call(named, tuple(item if isinstance(item, int) else None for item in arguments), key=at)

    def _helper(self, state: State, number: int) -> None:
        arguments = state.registers[1 : ARGUMENTS + 1]
        call = state.steps[-1].call
        assert call is not None
        if number not in _READS_ONLY:  # the key of a lookup stays known
            self.memory.given_away(state, arguments)
        if number == _LOOP and isinstance(arguments[1], Pointer) and arguments[1].kind == "function":
            self._loop(state, arguments)
            return
        self._clobber(state)
        if number in _FRESH_LOOKUPS:
            self._lookup(state, call, arguments)
            return
        returns = HELPERS[number].returns if number in HELPERS else ""
        state.registers[0] = Unknown(("helper", number, self.names.fresh().name)) if returns != "void" else self.names.fresh()
        if number in _CHANGES_PACKET:
            state.shortest, state.longest = 0, 1 << 30
        if number in _WRITES_PACKET:
            state.written = EVERYWHERE

    def _loop(self, state: State, arguments: list[Value]) -> None:
        turns = arguments[0] if isinstance(arguments[0], int) else _PATIENCE
        if not isinstance(arguments[0], int):
            state.notes[f"a bpf_loop whose bound is not known is counted {_PATIENCE} times"] = None
        if turns > _LONGEST_LOOP:
            state.notes[f"a bpf_loop of {turns:,} turns is counted {_LONGEST_LOOP:,} times"] = None
        turns = min(turns, _LONGEST_LOOP)
        callback = arguments[1]
        assert isinstance(callback, Pointer)
        self._clobber(state)
        state.registers[0] = 0
        if turns:
            self._enter(state, str(callback.region), [0, arguments[2]], (0, turns, str(callback.region), arguments[2]))

    def _lookup(self, state: State, call: Call, arguments: list[Value]) -> None:
        state.lookups += 1
        spec = self.specs.get(call.map or "")
        key = self.memory.bytes_at(state, arguments[1], spec.key_size) if spec is not None else None
        region = (call.map, key if key is not None else state.lookups)
        found = Pointer("value", region, 0, nullable=True)
        if spec is not None and spec.type in _ALWAYS_THERE and key is not None:
            there = int.from_bytes(key, "little") < spec.max_entries
            self._settle(state, found, there)
        elif spec is not None and spec.name in self.maps and key is not None:
            self._settle(state, found, key in self.maps[spec.name])
        else:
            state.registers[0] = found

    def _settle(self, state: State, found: Pointer, there: bool) -> None:
        state.registers[0] = replace(found, nullable=False) if there else 0
        note_found(state, len(state.steps) - 1, there)

    # --- branches ------------------------------------------------------------------------------------------------------
    def _branch(self, state: State, op: Branch, here: int) -> None:
        left, right = known_value(state, state.registers[op.left]), known_value(state, operand_of(state, op.right))
        went = decided(op.condition, op.width, left, right)
        if went is None:
            went = self._by_length(state, op.condition, left, right)
        fact = (op.condition, op.width, left, right)
        if went is None:
            went = state.facts.get(fact)
        if went is None:
            went = self._fork(state, op, here, left, right, fact)
        if went:
            state.at = op.target

    def _fork(self, state: State, op: Branch, here: int, left: Value, right: Value, fact: Hashable) -> bool:
        """Goes the likely way, and leaves the other for later."""
        seen = state.visits.setdefault((state.function, here), [0, 0])
        likely = is_likely(op.condition, left, right, op.target > here)
        if sum(seen) >= _PATIENCE:
            # Out of the loop: the way that was taken less often so far.
            state.notes[f"a loop whose bound is not known is counted {_PATIENCE} times"] = None
            leave = seen[1] < seen[0]
            seen[leave] += 1
            self._learn(state, op, here, leave, left, right, fact)
            return leave
        other = state.forked()
        other.visits[(state.function, here)][not likely] += 1
        self._learn(other, op, here, not likely, left, right, fact)
        other.at = op.target if not likely else here + 1
        self.pending.append(other)
        seen[likely] += 1
        self._learn(state, op, here, likely, left, right, fact)
        return likely

    def _learn(self, state: State, op: Branch, here: int, taken: bool, left: Value, right: Value, fact: Hashable) -> None:
        state.decisions.append(Decision(state.function, here, taken))
        state.facts[fact] = taken
        equal = (op.condition is Condition.EQ and taken) or (op.condition is Condition.NE and not taken)
        if isinstance(left, Unknown) and isinstance(right, int) and equal and op.width == 64:
            state.known[left.name] = right & MASK64
        if isinstance(left, Pointer) and left.nullable and right == 0:
            self._null_checked(state, left, not equal)
        self._learn_length(state, op.condition, taken, left, right)

    def _null_checked(self, state: State, pointer: Pointer, there: bool) -> None:
        for number, item in enumerate(state.registers):
            if isinstance(item, Pointer) and item.nullable and item.region == pointer.region:
                state.registers[number] = replace(item, nullable=False) if there else 0
        for key, (size, item) in list(state.stack.items()):
            if isinstance(item, Pointer) and item.nullable and item.region == pointer.region:
                state.stack[key] = (size, replace(item, nullable=False) if there else 0)
        for index in range(len(state.steps) - 1, -1, -1):
            call = state.steps[index].call
            if call is not None and call.map is not None and call.found is None:
                note_found(state, index, there)
                return

    def _by_length(self, state: State, condition: Condition, left: Value, right: Value) -> bool | None:
        """Comparisons of a packet pointer with the packet's end, by what is known of its length."""
        asked = needed_length(condition, left, right)
        if asked is None:
            return None
        reach, too_long_when = asked
        if state.shortest >= reach:
            return not too_long_when
        return too_long_when if state.longest < reach else None

    def _learn_length(self, state: State, condition: Condition, taken: bool, left: Value, right: Value) -> None:
        asked = needed_length(condition, left, right)
        if asked is None:
            return
        reach, too_long_when = asked
        if taken == too_long_when:
            state.longest = min(state.longest, reach - 1)
        else:
            state.shortest = max(state.shortest, reach)

    # --- everything else -----------------------------------------------------------------------------------------------
    def _step(self, state: State, op: Op) -> None:
        registers = state.registers
        match op:
            case ops.Alu(kind=kind, width=width, dst=dst, src=src):
                registers[dst] = alu(
                    kind, width, known_value(state, registers[dst]), known_value(state, operand_of(state, src)), self.names
                )
            case ops.Negate(width=width, dst=dst):
                registers[dst] = self._converted(
                    state, registers[dst], ("neg", width), lambda number: meaning.negate(CONCRETE, width, number)
                )
            case ops.MoveSigned(width=width, bits=bits, dst=dst, src=src):
                registers[dst] = self._converted(
                    state, registers[src], (width, bits), lambda number: meaning.move_signed(CONCRETE, width, bits, number)
                )
            case ops.ByteOrder(to=to, bits=bits, dst=dst):
                registers[dst] = self._converted(
                    state, registers[dst], (to, bits), lambda number: meaning.byte_order(CONCRETE, to, bits, number)
                )
            case ops.LoadImm(dst=dst, value=number):
                registers[dst] = number & MASK64
            case ops.LoadMap(dst=dst, map=name):
                registers[dst] = Pointer("map", name)
            case ops.LoadMapValue(dst=dst, map=name, offset=offset):
                registers[dst] = Pointer("value", (name, b""), offset)
            case ops.LoadFunction(dst=dst, name=name):
                registers[dst] = Pointer("function", name)
            case ops.LoadSymbol(dst=dst):
                registers[dst] = self.names.fresh()
            case ops.Load(dst=dst):
                registers[dst] = self.memory.load(state, op)
            case ops.Store():
                self.memory.store(state, op)
            case ops.Atomic(kind=atomic, base=base, offset=offset, size=size, src=src, fetch=fetch):
                if isinstance(target := registers[base], Pointer):
                    self.memory.overwritten(state, target, offset, size)
                if fetch:
                    registers[0 if atomic is AtomicKind.CMPXCHG else src] = self.names.fresh()
            case ops.LoadSkb():
                registers[0] = self.names.fresh()
                self._clobber(state)
            case _:
                state.notes["an instruction that is not understood is passed over"] = None

    def _converted(self, state: State, given: Value, name: Hashable, of_number: Callable[[int], int]) -> Value:
        value = known_value(state, given)
        return of_number(value) if isinstance(value, int) else unary(name, value, self.names)
