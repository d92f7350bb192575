"""Where the values of a program come from, as far as keys and state are concerned: a forward analysis over its blocks.

It answers which maps a program reads, writes and deletes from, under which keys (the thread, the process, an argument, a field
of an argument, a constant), and whether it reads what an earlier run may have left there. A value that is one thing on one path
and another on the next is unknown. Subprograms are followed with the arguments they are called with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from typing import NamedTuple

from bpfsmith.ir import ops
from bpfsmith.ir.cfg import Function, build
from bpfsmith.ir.lift import lift
from bpfsmith.ir.ops import AluKind, Imm
from bpfsmith.isa.insn import slot_starts
from bpfsmith.isa.program import Program
from bpfsmith.isa.tables import HELPERS
from bpfsmith.objfile.btf import Btf, Struct
from bpfsmith.objfile.btf_ext import CoreRelo

MASK32 = 0xFFFFFFFF
_NUMBERS = {"u64 *": 8, "s64 *": 8, "long *": 8, "u32 *": 4, "u16 *": 2}
"""What helpers write through pointers to numbers, in bytes."""
_MAX_VISITS = 64
ANY_ARGUMENT = -1
_ANYWHERE = -(1 << 30)
"""The offset of a pointer into a value that may be one or another: none that a program stores to."""
_MAX_DEPTH = 8
_SHIFTED = 32
"""The depth of a field that waits to be shifted back."""


class Source(StrEnum):
    """What a value is."""

    CONST = "constant"
    FRAME = "stack pointer"
    MAP = "map"
    ENTRY = "map value"  # a pointer into a value of a map
    CONTEXT = "context"
    PID_TGID = "pid_tgid"
    TID = "tid"
    TGID = "tgid"
    CPU = "cpu"
    UID = "uid"
    TASK = "current task"
    ARGUMENT = "argument"
    FIELD = "field"  # of something that an argument leads to
    STATE = "state"  # read out of a map's value
    CLOCK = "clock"
    OTHER = "other"


class Value(NamedTuple):
    """`name` says of what (a map, a field), `number` which (a constant, an offset, the index of an argument). A pointer to one
    of several places of a stack has their offsets as its name."""

    source: Source
    name: str = ""
    number: int = 0
    depth: int = 0


UNKNOWN = Value(Source.OTHER)
_RESULTS = {
    "bpf_get_current_pid_tgid": Value(Source.PID_TGID),
    "bpf_get_current_uid_gid": Value(Source.UID),
    "bpf_get_smp_processor_id": Value(Source.CPU),
    "bpf_get_current_task": Value(Source.TASK),
    "bpf_get_current_task_btf": Value(Source.TASK),
    "bpf_ktime_get_ns": Value(Source.CLOCK),
    "bpf_ktime_get_boot_ns": Value(Source.CLOCK),
}
_READS_ONLY = frozenset(
    {"bpf_map_lookup_elem", "bpf_map_update_elem", "bpf_map_delete_elem", "bpf_perf_event_output", "bpf_ringbuf_output"}
    | {"bpf_trace_printk", "bpf_map_push_elem", "bpf_seq_write", "bpf_trace_vprintk"}
)
_STORAGE_GET = frozenset({"bpf_task_storage_get", "bpf_sk_storage_get", "bpf_inode_storage_get", "bpf_cgrp_storage_get"})
_STORAGE_DELETE = frozenset(name.replace("_get", "_delete") for name in _STORAGE_GET)
# Where x86-64's struct pt_regs keeps arguments and the result (arch/x86/include/uapi/asm/ptrace.h).
_PT_REGS = {112: 0, 104: 1, 96: 2, 88: 3, 72: 4, 64: 5}
_PT_REGS_RESULT = 80


class Touch(StrEnum):
    """What an instruction does to a map."""

    LOOKUP = "lookup"
    UPDATE = "update"
    DELETE = "delete"
    READ = "read"  # a load from a value that this run has not written before
    WRITE = "write"  # a store into a value
    ADD = "add"  # an atomic operation on a value
    PASSED = "passed"  # a value's address is given to a helper


KEYED = frozenset({Touch.LOOKUP, Touch.UPDATE, Touch.DELETE})
"""Touches that name an entry by its key."""


@dataclass(frozen=True, slots=True)
class MapUse:
    """One touch of a map by one instruction. `key` is what the key is made of: one value, or its parts in order of offset;
    `value` what an update's third argument points at."""

    touch: Touch
    map: str
    key: tuple[Value, ...]
    function: str
    insn_idx: int
    flags: int | None = None
    value: Value | None = None


@dataclass(slots=True)
class _State:
    """`cells` holds what was stored on the stack: (depth, offset) -> (size, value). `written` are the bytes of maps'
    values that this run has stored to on every path."""

    registers: list[Value]
    cells: dict[tuple[int, int], tuple[int, Value]]
    written: frozenset[tuple[str, int]]

    def copy(self) -> _State:
        return _State(list(self.registers), dict(self.cells), self.written)

    def merged(self, other: _State) -> _State:
        registers = [_join(a, b) for a, b in zip(self.registers, other.registers, strict=True)]
        cells = {
            place: (cell[0], _join(cell[1], other.cells[place][1]))
            for place, cell in self.cells.items()
            if place in other.cells and other.cells[place][0] == cell[0]
        }
        return _State(registers, cells, self.written & other.written)


def _join(a: Value, b: Value) -> Value:
    if a == b:
        return a
    zero = Value(Source.CONST)
    if Source.ENTRY in (a.source, b.source) and zero in (a, b):  # NULL beside a pointer
        return a if b == zero else b
    if a.source is b.source is Source.ENTRY:  # a value of one map or of another
        return a._replace(name=",".join(sorted({*_maps(a), *_maps(b)})), number=a.number if a.number == b.number else _ANYWHERE)
    if a.source is b.source is Source.FRAME and a.depth == b.depth:
        places = sorted({*_offsets(a), *_offsets(b)})
        return Value(Source.FRAME, ",".join(map(str, places)), places[0], a.depth)
    if a.source is b.source is Source.ARGUMENT:  # one argument or another: still something that the hook was given
        return Value(Source.ARGUMENT, "", ANY_ARGUMENT)
    return UNKNOWN


def _maps(pointer: Value) -> list[str]:
    """The maps into whose values a pointer may lead."""
    return pointer.name.split(",")


def _offsets(pointer: Value) -> tuple[int, ...]:
    """The places of the stack that a pointer may lead to."""
    return tuple(map(int, pointer.name.split(","))) if pointer.name else (pointer.number,)


@dataclass(slots=True)
class _Walk:
    program: Program
    functions: Mapping[str, Function]
    fields: Mapping[str, Mapping[int, str]]  # by function and insn: the field whose offset the insn holds
    uses: dict[tuple[str, int, Touch, str], MapUse] = field(default_factory=dict)
    is_tracepoint: bool = False
    arguments_are_registers: bool = False

    def call(self, name: str, state: _State, depth: int) -> _State | None:
        """Runs a function to its exits; None where it never returns."""
        function = self.functions[name]
        state.registers[10] = Value(Source.FRAME, "", 0, depth)
        pending: dict[int, _State] = {0: state}
        seen: dict[int, _State] = {}
        visits: dict[int, int] = {}
        rank = {block: position for position, block in enumerate(function.order)}
        done: _State | None = None
        while pending:
            block = min(pending, key=rank.__getitem__)
            arriving = pending.pop(block)
            before = seen.get(block)
            current = arriving if before is None else before.merged(arriving)
            if before is not None and current == before:
                continue
            visits[block] = visits.get(block, 0) + 1
            if visits[block] > _MAX_VISITS:
                continue
            seen[block] = current
            after = current.copy()
            info = function.blocks[block]
            for index in range(info.start, info.end):
                self._op(name, index, function.ops[index], after, depth)
            if not info.successors:
                done = after.copy() if done is None else done.merged(after)
            for following in info.successors:
                known = pending.get(following)
                pending[following] = after.copy() if known is None else known.merged(after)
        return done

    # --- one op -------------------------------------------------------------------------------------------------------
    def _op(self, name: str, index: int, op: ops.Op, state: _State, depth: int) -> None:
        registers = state.registers
        match op:
            case ops.Alu(dst=dst):
                result = _alu(op, registers[dst], self._operand(registers, op.src))
                where = self.fields.get(name, {}).get(index)
                if where is not None:  # the constant is a field's offset, or the base has just been moved by it
                    if result.source is Source.CONST:
                        result = result._replace(name=where)
                    elif registers[dst].source in (Source.ARGUMENT, Source.FIELD, Source.TASK, Source.OTHER):
                        result = Value(Source.FIELD, where, result.number)
                registers[dst] = result
            case ops.LoadImm(dst=dst, value=value):
                registers[dst] = Value(Source.CONST, self.fields.get(name, {}).get(index, ""), value)
            case ops.LoadMap(dst=dst, map=map_name):
                registers[dst] = Value(Source.MAP, map_name)
            case ops.LoadMapValue(dst=dst, map=map_name, offset=offset):
                registers[dst] = Value(Source.ENTRY, map_name, offset)
            case ops.Load(dst=dst, base=base, offset=offset, size=size):
                registers[dst] = self._load(state, registers[base], offset, size, name, index)
            case ops.Store(base=base, offset=offset, size=size):
                self._store(state, registers[base], offset, size, self._operand(registers, op.src), name, index)
            case ops.Atomic(base=base):
                if registers[base].source is Source.ENTRY:
                    self._touched(Touch.ADD, registers[base], name, index)
                if op.fetch:
                    registers[0 if op.kind is ops.AtomicKind.CMPXCHG else op.src] = UNKNOWN
            case ops.CallHelper(helper_id=helper_id):
                self._helper(state, helper_id, name, index)
            case ops.CallSubprogram(name=callee) if callee in self.functions and depth < _MAX_DEPTH:
                self._subprogram(state, callee, depth)
            case ops.CallSubprogram() | ops.CallKfunc() | ops.LoadSkb():
                registers[:6] = [UNKNOWN] * 6
            case ops.MoveSigned(dst=dst, src=src) if registers[src].source is Source.FIELD:
                registers[dst] = registers[src]
            case ops.Negate(dst=dst) | ops.MoveSigned(dst=dst) | ops.ByteOrder(dst=dst) | ops.LoadFunction(dst=dst):
                registers[dst] = UNKNOWN
            case ops.LoadSymbol(dst=dst):
                registers[dst] = UNKNOWN
            case ops.Branch() | ops.Jump() | ops.MayGoto() | ops.Exit() | ops.Unlifted():
                pass

    @staticmethod
    def _operand(registers: list[Value], operand: ops.Operand) -> Value:
        return Value(Source.CONST, "", operand.value) if isinstance(operand, Imm) else registers[operand]

    def _subprogram(self, state: _State, callee: str, depth: int) -> None:
        saved = state.registers[6:]
        inner = state.copy()
        inner.registers = [UNKNOWN, *state.registers[1:6], *[UNKNOWN] * 5]
        after = self.call(callee, inner, depth + 1)
        if after is not None:
            state.cells = {place: cell for place, cell in after.cells.items() if place[0] <= depth}
            state.written = after.written
            state.registers[0] = after.registers[0]
        state.registers[1:6] = [UNKNOWN] * 5
        state.registers[6:] = saved

    def _load(self, state: _State, base: Value, offset: int, size: int, name: str, index: int) -> Value:
        match base.source:
            case Source.FRAME:
                found = [_cell(state, base.depth, at + offset, size) for at in _offsets(base)]
                return found[0] if all(value == found[0] for value in found) else UNKNOWN
            case Source.ENTRY:
                at = base.number + offset
                if not any((base.name, at + i) not in state.written for i in range(size)):
                    return UNKNOWN
                self._touched(Touch.READ, base, name, index)
                return Value(Source.STATE, base.name, at)
            case Source.CONTEXT:
                return self._from_context(base.number + offset, size)
            case Source.ARGUMENT | Source.FIELD | Source.TASK:
                text = self.fields.get(name, {}).get(index, "") or base.name
                return Value(Source.FIELD, text, base.number + offset)
            case _:
                return UNKNOWN

    def _from_context(self, at: int, size: int) -> Value:
        if self.arguments_are_registers:
            if at == _PT_REGS_RESULT:
                return Value(Source.FIELD, "return value")
            return Value(Source.ARGUMENT, "", _PT_REGS[at]) if at in _PT_REGS else UNKNOWN
        if self.is_tracepoint:
            return Value(Source.FIELD, f"tracepoint field at {at}", at)
        return Value(Source.ARGUMENT, "", at // 8) if at % 8 == 0 else UNKNOWN

    def _store(self, state: _State, base: Value, offset: int, size: int, value: Value, name: str, index: int) -> None:
        if base.source is Source.FRAME and base.name:
            for at in _offsets(base):
                _forget(state, base.depth, at + offset, size)
        elif base.source is Source.FRAME:
            _put(state, base.depth, base.number + offset, size, value)
        elif base.source is Source.ENTRY:
            at = base.number + offset
            self._touched(Touch.WRITE, base, name, index)
            state.written |= {(base.name, at + i) for i in range(size)}
        elif base.source is Source.OTHER:
            return  # through a pointer that is not followed: a value's, a record's; never the stack, which is named by r10

    # --- calls --------------------------------------------------------------------------------------------------------
    def _helper(self, state: _State, helper_id: int, name: str, index: int) -> None:
        helper, registers = HELPERS.get(helper_id), state.registers
        if helper is None:
            registers[:6] = [UNKNOWN] * 6
            return
        result = _RESULTS.get(helper.name, UNKNOWN)
        if helper.name == "bpf_get_socket_cookie" and registers[1].source is Source.ARGUMENT:
            result = registers[1]._replace(name="cookie")  # as good a name for the socket as its address
        named = registers[1].name if registers[1].source is Source.MAP else None
        match helper.name:
            case "bpf_map_lookup_elem" | "bpf_map_lookup_percpu_elem" if named:
                self._use(Touch.LOOKUP, named, self._key(state, named), name, index)
                result = Value(Source.ENTRY, named)
            case "bpf_map_update_elem" if named:
                flags = registers[4].number if registers[4].source is Source.CONST else None
                self._use(Touch.UPDATE, named, self._key(state, named), name, index, flags, registers[3])
            case "bpf_map_delete_elem" | "bpf_map_lookup_and_delete_elem" if named:
                self._use(Touch.DELETE, named, self._key(state, named), name, index)
            case storage if storage in _STORAGE_GET and named:
                self._use(Touch.LOOKUP, named, (registers[2],), name, index)
                result = Value(Source.ENTRY, named)
            case storage if storage in _STORAGE_DELETE and named:
                self._use(Touch.DELETE, named, (registers[2],), name, index)
            case _:
                pass
        self._passed(state, helper.name, [arg.type for arg in helper.args], name, index)
        registers[0], registers[1:6] = result, [UNKNOWN] * 5

    def _passed(self, state: _State, helper: str, types: list[str], name: str, index: int) -> None:
        """What a helper may write through its pointers is unknown from then on, but for what it copies from a known place."""
        copied = UNKNOWN
        source = state.registers[3]
        if helper.startswith("bpf_probe_read") and source.source is Source.CONTEXT:  # such as PT_REGS_PARM1_CORE
            copied = self._from_context(source.number, 8)
        elif helper.startswith("bpf_probe_read") and source.source in (Source.ARGUMENT, Source.FIELD, Source.TASK):
            copied = Value(Source.FIELD, source.name, source.number)
        for position, kind in enumerate(types, start=1):
            value = state.registers[position]
            following = state.registers[position + 1] if position < 5 else UNKNOWN
            writes = helper not in _READS_ONLY and not kind.startswith("const") and kind.endswith("*")
            if value.source is Source.ENTRY:
                self._touched(Touch.PASSED, value, name, index)
                if writes:
                    self._touched(Touch.WRITE, value, name, index)
                    size = following.number if following.source is Source.CONST else 0
                    state.written |= {(value.name, value.number + i) for i in range(max(0, min(size, 4096)))}
            elif value.source is Source.FRAME and writes:
                known = following.source is Source.CONST and 0 < following.number <= 512
                size = _NUMBERS.get(kind, following.number if known else 512)
                for at in _offsets(value):
                    _forget(state, value.depth, at, size)
                if known and not value.name and position == 1 and copied is not UNKNOWN:
                    state.cells[value.depth, value.number] = (following.number, copied)

    def _key(self, state: _State, map_name: str) -> tuple[Value, ...]:
        """What the bytes behind r2 are, in order; () where they are not known at all."""
        pointer, size = state.registers[2], self.program.map(map_name).key_size
        if pointer.source is Source.ENTRY:
            constant = self._constant(pointer.name, pointer.number, size)
            return (
                Value(Source.STATE, pointer.name, pointer.number) if constant is None else Value(Source.CONST, "", constant),
            )
        if pointer.source is not Source.FRAME:
            return ()
        keys = [self._key_at(state, pointer.depth, at, size) for at in _offsets(pointer)]
        if any(len(key) != len(keys[0]) for key in keys):
            return ()
        return tuple(reduce(_join, parts) for parts in zip(*keys, strict=True))

    @staticmethod
    def _key_at(state: _State, depth: int, start: int, size: int) -> tuple[Value, ...]:
        parts: list[Value] = []
        at, end = start, start + size
        while at < end:
            place = state.cells.get((depth, at))
            length = place[0] if place is not None else 1
            parts.append(_cell(state, depth, at, min(length, end - at)))
            at += length
        while len(parts) > 1 and parts[-1] in (Value(Source.CONST), UNKNOWN):  # padding
            parts.pop()
        return tuple(parts)

    def _constant(self, map_name: str, offset: int, size: int) -> int | None:
        if "," in map_name:
            return None
        spec = self.program.map(map_name)
        if not spec.frozen or spec.initial is None:
            return None
        return int.from_bytes(spec.initial[offset : offset + size], "little")

    def _touched(self, touch: Touch, value: Value, function: str, index: int) -> None:
        """A touch of a value, of each map that it may belong to."""
        for map_name in _maps(value):
            self._use(touch, map_name, (), function, index)

    def _use(
        self,
        touch: Touch,
        map_name: str,
        key: tuple[Value, ...],
        function: str,
        index: int,
        flags: int | None = None,
        value: Value | None = None,
    ) -> None:
        place = (function, index, touch, map_name)
        known = self.uses.get(place)
        if known is not None and known.key != key:
            key = tuple(_join(a, b) for a, b in zip(known.key, key, strict=True)) if len(known.key) == len(key) else ()
        if known is not None:
            flags = flags if known.flags == flags else None
            value = value if known.value == value else UNKNOWN
        self.uses[place] = MapUse(touch, map_name, key, function, index, flags, value)


def _alu(op: ops.Alu, old: Value, src: Value) -> Value:
    if op.kind is AluKind.MOV:
        if op.width == 32:
            if src.source is Source.PID_TGID:
                return Value(Source.TID)
            return src._replace(number=src.number & MASK32) if src.source is Source.CONST else src
        return src
    if src.source is Source.CONST:
        return _with_constant(op, old, src)
    if old.source is Source.CONST and op.kind is AluKind.ADD:
        return _with_constant(op, src, old)
    return UNKNOWN


def _with_constant(op: ops.Alu, old: Value, constant: Value) -> Value:
    number = constant.number
    match op.kind:
        case AluKind.ADD if old.source is Source.FRAME and old.name:
            return old._replace(name=",".join(str(at + number) for at in _offsets(old)), number=old.number + number)
        case AluKind.ADD if old.source in (Source.FRAME, Source.ENTRY, Source.CONTEXT, Source.CONST):
            return old._replace(number=old.number + number)
        case AluKind.ADD if old.source in (Source.ARGUMENT, Source.FIELD, Source.TASK):
            return Value(Source.FIELD, constant.name or old.name, number)
        case AluKind.LSH if old.source is Source.FIELD and number == 32 and not old.depth:
            return old._replace(depth=_SHIFTED)
        case AluKind.RSH | AluKind.ARSH if old.source is Source.FIELD and number == 32 and old.depth == _SHIFTED:
            return old._replace(depth=0)  # its lower half, extended
        case AluKind.RSH if old.source is Source.PID_TGID and number == 32:
            return Value(Source.TGID)
        case AluKind.LSH if number == 32 and old.source in (Source.PID_TGID, Source.TID):
            return Value(Source.TID, "<<32")
        case AluKind.RSH | AluKind.ARSH if number == 32 and old == Value(Source.TID, "<<32"):
            return Value(Source.TID)
        case AluKind.AND if old.source is Source.PID_TGID and number == MASK32:
            return Value(Source.TID)
        case _:
            return UNKNOWN


def _cell(state: _State, depth: int, at: int, size: int) -> Value:
    cell = state.cells.get((depth, at))
    if cell is None:
        return UNKNOWN
    if cell[0] == size:
        return cell[1]
    if cell[0] > size and cell[1].source is Source.PID_TGID and size == 4:
        return Value(Source.TID)
    if cell[0] > size and cell[1].source is Source.CONST:
        return cell[1]._replace(number=cell[1].number & ((1 << 8 * size) - 1))
    return UNKNOWN


def _put(state: _State, depth: int, at: int, size: int, value: Value) -> None:
    _forget(state, depth, at, size)
    if size == 4 and value.source is Source.PID_TGID:
        value = Value(Source.TID)
    state.cells[depth, at] = (size, value)


def _forget(state: _State, depth: int, at: int, size: int) -> None:
    for place in [
        place for place, cell in state.cells.items() if place[0] == depth and place[1] < at + size and at < place[1] + cell[0]
    ]:
        del state.cells[place]


def map_uses(
    program: Program, section_stem: str, relos: Mapping[str, tuple[CoreRelo, ...]] | None = None, btf: Btf | None = None
) -> tuple[MapUse, ...]:
    """Every touch of a map by `program`, in the order of its instructions. `relos` and `btf` name the fields that are read."""
    bodies = {program.name: program.insns, **{sub.name: sub.insns for sub in program.subprograms}}
    functions = {name: build(name, lift(insns)) for name, insns in bodies.items()}
    fields: dict[str, dict[int, str]] = {}
    for name, found in (relos or {}).items():
        if name in bodies and btf is not None:
            index_of = {8 * slot: index for index, slot in enumerate(slot_starts(bodies[name]))}
            fields[name] = {index_of[relo.insn_offset]: field_name(relo, btf) for relo in found if relo.insn_offset in index_of}
    registers = section_stem.startswith(("kprobe", "kretprobe", "uprobe", "uretprobe", "ksyscall", "kretsyscall", "usdt"))
    walk = _Walk(
        program, functions, fields,
        is_tracepoint=section_stem in ("tracepoint", "tp"), arguments_are_registers=registers,
    )  # fmt: skip
    start = _State([UNKNOWN] * 11, {}, frozenset())
    start.registers[1] = Value(Source.CONTEXT)
    walk.call(program.name, start, 0)
    order = {name: position for position, name in enumerate(bodies)}
    return tuple(sorted(walk.uses.values(), key=lambda use: (order[use.function], use.insn_idx, use.touch)))


def field_name(relo: CoreRelo, btf: Btf) -> str:
    """ "task_struct.pid" for a CO-RE relocation of a field; "" for other kinds."""
    parts = relo.access.split(":")[1:]
    item = btf.resolved(relo.type_id)
    if not isinstance(item, Struct) or not all(part.isdigit() for part in parts):
        return ""
    names = [item.name.partition("___")[0]]
    for part in parts:
        if not isinstance(item, Struct) or int(part) >= len(item.members):
            break
        member = item.members[int(part)]
        if member.name:
            names.append(member.name)
        item = btf.resolved(member.type_id)
    return ".".join(names)
