"""The interpreter: runs a program on one input, with the meaning that the prover proves with.

What ops compute is `semantics.eval` over plain integers, and ops are those of `ir.lift`; only control, memory and helpers are
written anew, as `symbolic`, `memory` and `helpers` write them for terms. A run is a function of its `RunInput`: uninitialised
stack reads as zero, the processor is number 0, and what a helper would draw or read off a clock comes with the input.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from bpfsmith.execution import CallRecord, RunInput, RunOutput
from bpfsmith.ir import ops
from bpfsmith.ir.cfg import BPF_TAIL_CALL
from bpfsmith.ir.lift import lift
from bpfsmith.ir.ops import AluKind, Condition, Imm, Op, Operand, Reg
from bpfsmith.isa import progtype
from bpfsmith.isa.context import FieldKind
from bpfsmith.isa.program import Program
from bpfsmith.semantics import concrete_helpers
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.access import KEPT_BITS, NO_QUEUE_MAPPING, UNFAITHFUL
from bpfsmith.semantics.concrete_memory import (
    ArrayMap,
    Context,
    InnerMap,
    Map,
    OuterMap,
    Packet,
    Pointer,
    Region,
    Value,
    open_maps,
)
from bpfsmith.semantics.domain import CONCRETE, signed
from bpfsmith.semantics.state import Unmodelled

INSN_BUDGET = 1_000_000
STACK_BYTES = 512  # MAX_BPF_STACK, include/linux/filter.h
MAX_FRAMES = 8  # MAX_CALL_FRAMES, include/linux/bpf_verifier.h
_R1 = Reg(1)
_POINTER_BASE = 1 << 62  # any address that no offset in a region wraps around


class Fault(Unmodelled):
    """What the kernel's verifier accepts no program to do: leave memory, store to what is read-only, read a register before it
    is set, call more than 8 functions deep, or run past the last instruction."""

    def __init__(self, detail: str) -> None:
        super().__init__("fault", detail)


class BudgetExceeded(Unmodelled):
    """The run took more instructions than it was given."""

    def __init__(self, detail: str) -> None:
        super().__init__("instruction-budget", detail)


def run(
    program: Program, given: RunInput, *, budget: int = INSN_BUDGET, observe: Observer | None = None, side: str = ""
) -> RunOutput:
    """What `program` does on `given`: r0, the packet, every modelled map, and how often nondeterministic helpers were called.
    `side` is what the input's `world` calls the program's own stack.

    Raises `Unmodelled` where the program does what the meaning here does not cover, `Fault` where it does what no
    accepted program does, and `BudgetExceeded` after `budget` instructions. `observe` is called before each instruction.
    """
    machine = Machine(program, given, budget, observe, side)
    machine.call(program.name)
    value = machine.register(Reg(0))
    if isinstance(value, Pointer):
        raise machine.unmodelled("returned-pointer", "a pointer is returned")
    maps = {name: contents.entries() for name, contents in machine.maps.items()}
    packet, calls, changed = machine.packet.contents, dict(machine.calls), machine.context.changed()
    return RunOutput(value & 0xFFFFFFFF, packet, maps, calls, tuple(machine.records), changed, machine.packet.metadata)


# --- the machine ------------------------------------------------------------------------------------------------------
class Machine:
    """A run in progress, as an observer and the helper models see it: where it is, and what registers and memory hold.

    `function` and `insn_idx` name the instruction that comes next, or is being executed, `depth` how many functions are being
    run, one called by the other. A register is None while it holds nothing that an accepted program reads.
    """

    def __init__(self, program: Program, given: RunInput, budget: int, observe: Observer | None, side: str = "") -> None:
        self.program, self.given, self.budget, self.observe = program, given, budget, observe
        bodies = {program.name: program.insns} | {sub.name: sub.insns for sub in program.subprograms}
        self.functions: dict[str, tuple[Op, ...]] = {name: lift(insns) for name, insns in bodies.items()}
        self.kind = progtype.for_section(program.section)
        self.packet = Packet.of(given.packet, self.ask)
        self.context = Context(self.kind.context, given.ctx, self.packet, self.ask)
        self.maps = open_maps(program, given, self.ask)
        self.stack_bytes = {
            signed(64, args[0]): value for (name, args), value in given.world.items() if name == f"stack:{side}.0"
        }
        self.records: list[CallRecord] = []
        self.attempts = 0  # to get memory for a packet
        self.handles: dict[str, Region] = {}
        self.results: dict[str, deque[int]] = {}
        for result in given.helper_results:
            self.results.setdefault(result.helper, deque()).append(result.value)
        self.calls: Counter[str] = Counter()
        self.registers: list[Value | None] = [None] * 11
        self.registers[1] = Pointer(Region("ctx"), 0)
        self.function, self.insn_idx, self.depth = program.name, 0, 0

    def call(self, name: str) -> None:
        """Runs one function from its first instruction to its exit, on a stack of its own."""
        code = self.functions.get(name)
        if code is None:
            raise self.unmodelled("unmodelled-instruction", f"the subprogram {name} is not part of the program")
        if self.depth == MAX_FRAMES:
            raise Fault(self.at(f"a call of {name}, which is {MAX_FRAMES + 1} functions deep"))
        stack = bytearray(STACK_BYTES)
        for offset, value in self.stack_bytes.items() if not self.depth else ():
            stack[STACK_BYTES + offset] = value
        self.depth += 1
        self.registers[10] = Pointer(Region("stack", name, stack), STACK_BYTES)
        following = 0
        while True:
            self.function, self.insn_idx = name, following
            if self.observe is not None:
                self.observe(self)
            self.budget -= 1
            if self.budget < 0:
                raise BudgetExceeded(self.at("the run has used up its instructions"))
            if following == len(code):
                raise Fault(self.at("the function ends without an exit"))
            op = code[following]
            following += 1
            match op:
                case ops.Exit():
                    self.depth -= 1
                    return
                case ops.Jump(target=target):
                    following = target
                case ops.Branch(target=target):
                    if self._is_taken(op):
                        following = target
                case ops.MayGoto():
                    pass  # the kernel lets go after a quarter of a second; our budget ends before
                case ops.LoadSkb():
                    if not self._load_skb(op):
                        self.depth -= 1
                        return
                case ops.CallSubprogram(name=callee):
                    self._call_kept(callee)
                case ops.CallHelper(helper_id=helper_id):
                    if self._helper(helper_id):
                        self.depth -= 1
                        return
                case _:
                    self._step(op)

    def call_back(self, name: str, *arguments: Value) -> int:
        """Runs a function of the program for a helper, and gives what it returns."""
        self.registers[1:6] = [*arguments, *[None] * (5 - len(arguments))]
        self._call_kept(name)
        return self.scalar(Reg(0))

    def _call_kept(self, name: str) -> None:
        kept = self.registers[6:]
        self.registers[6:10] = [None] * 4
        self.call(name)
        self.registers[1:] = [None] * 5 + kept

    def _step(self, op: Op) -> None:
        registers = self.registers
        match op:
            case ops.Alu(kind=kind, width=width, dst=dst):
                registers[dst] = self._alu(kind, width, dst, self.operand(op.src))
            case ops.Negate(width=width, dst=dst):
                registers[dst] = meaning.negate(CONCRETE, width, self.scalar(dst))
            case ops.MoveSigned(width=width, bits=bits, dst=dst, src=src):
                registers[dst] = meaning.move_signed(CONCRETE, width, bits, self.scalar(src))
            case ops.ByteOrder(to=to, bits=bits, dst=dst):
                registers[dst] = meaning.byte_order(CONCRETE, to, bits, self.scalar(dst))
            case ops.LoadImm(dst=dst, value=value):
                registers[dst] = CONCRETE.const(64, value)
            case ops.LoadMap(dst=dst, map=name):
                registers[dst] = Pointer(self.handles.setdefault(name, Region("map", name)), 0)
            case ops.LoadMapValue(dst=dst, map=name, offset=offset):
                contents = self.map(name)
                if not isinstance(contents, ArrayMap):
                    raise self.unmodelled("unmodelled-map", f"{name} has no value at a fixed address")
                registers[dst] = Pointer(contents.region, offset)
            case ops.Load(dst=dst, base=base, offset=offset, size=size, signed=is_signed):
                loaded = self.load(self.register(base), offset, size)
                if is_signed and isinstance(loaded, int):
                    loaded = CONCRETE.sext(loaded, 8 * size, 64)
                registers[dst] = loaded
            case ops.Store(base=base, offset=offset, size=size, src=src):
                self.store(self.register(base), offset, size, self.operand(src))
            case ops.Atomic():
                self._atomic(op)
            case ops.LoadFunction(dst=dst, name=name):
                registers[dst] = Pointer(Region("function", name), 0)
            case ops.CallKfunc(name=name):
                self._kfunc(name)
            case _:
                raise self.unmodelled("unmodelled-instruction", f"{type(op).__name__} is not modelled")

    # --- arithmetic ---------------------------------------------------------------------------------------------------
    def _alu(self, kind: AluKind, width: int, dst: Reg, src: Value) -> Value:
        if kind is AluKind.MOV and width == 64:
            return src
        old = src if kind is AluKind.MOV else self.register(dst)
        match old, src:
            case int(), int():
                return meaning.alu(CONCRETE, kind, width, old, src)
            case (Pointer(region, offset), int(number)) | (int(number), Pointer(region, offset)) if (
                kind is AluKind.ADD and width == 64
            ):
                return Pointer(region, meaning.alu(CONCRETE, kind, 64, offset, number))
            case Pointer(region, offset), int(number) if kind is AluKind.SUB and width == 64:
                return Pointer(region, meaning.alu(CONCRETE, kind, 64, offset, number))
            case Pointer(region, offset), Pointer(other, distance) if kind is AluKind.SUB and region is other:
                return meaning.alu(CONCRETE, kind, width, offset, distance)
            case _:
                raise self.unmodelled("pointer-arithmetic", f"{width}-bit {kind} on pointers is not modelled")

    def _is_taken(self, op: ops.Branch) -> bool:
        left, right = self.register(op.left), self.operand(op.right)
        match left, right:
            case int(), int():
                return meaning.condition(CONCRETE, op.condition, op.width, left, right)
            case _ if op.width < 64 or op.condition is Condition.SET:
                raise self.unmodelled("pointer-comparison", "some bits of a pointer are looked at")
            case Pointer(region, offset), Pointer(other, distance) if region is other:
                a, b = (CONCRETE.add(64, _POINTER_BASE, x) for x in (offset, distance))
                return meaning.condition(CONCRETE, op.condition, 64, a, b)
            case (Pointer(), Pointer()) | (Pointer(), 0) | (0, Pointer()) if op.condition in (Condition.EQ, Condition.NE):
                return op.condition is Condition.NE
            case Pointer(), 0 if op.condition is Condition.UGT:
                return True
            case _:
                raise self.unmodelled("pointer-comparison", "a pointer is compared with a number or with another region's")

    def _atomic(self, op: ops.Atomic) -> None:
        width, place = 8 * op.size, self.register(op.base)
        src = CONCRETE.extract(self.scalar(op.src), 64, width - 1, 0)
        is_exchange = op.kind is ops.AtomicKind.CMPXCHG
        expected = CONCRETE.extract(self.scalar(Reg(0)), 64, width - 1, 0) if is_exchange else src
        old = self.load(place, op.offset, op.size)
        if isinstance(old, Pointer):
            raise self.unmodelled("pointer-arithmetic", "an atomic operation on a pointer")
        self.store(place, op.offset, op.size, meaning.atomic(CONCRETE, op.kind, width, old, src, expected))
        if op.fetch:
            self.registers[0 if is_exchange else op.src] = old

    # --- memory -------------------------------------------------------------------------------------------------------
    def load(self, pointer: Value, offset: int, size: int) -> Value:
        """`size` bytes at pointer + offset as a number, zero-extended, or the pointer that was spilled there."""
        if isinstance(pointer, Pointer) and pointer.region.kind == "ctx":
            return self._load_context(signed(64, pointer.offset) + offset, size)
        if isinstance(pointer, int) and self.given.world:
            places = (CONCRETE.add(64, pointer, CONCRETE.const(64, offset + i)) for i in range(size))
            return int.from_bytes(bytes(self.ask("kernel", place, len(self.records)) for place in places), "little")
        region, start = self._place(pointer, offset, size)
        spilled = region.pointer_at(start) if size == 8 and region.spilled else None
        return spilled or int.from_bytes(self._bytes(region, start, size), "little")

    def read(self, pointer: Value, size: int) -> bytes:
        """The bytes that a helper's argument points to."""
        return self._bytes(*self._place(pointer, 0, size), size)

    def _bytes(self, region: Region, start: int, size: int) -> bytes:
        if region.has_pointer_bytes(start, size):
            raise self.unmodelled("leaked-pointer", "bytes of a spilled pointer are read as a number")
        return bytes(region.data[start : start + size])

    def write(self, pointer: Value, raw: bytes) -> None:
        """Bytes that a helper leaves where an argument points to."""
        for at, byte in enumerate(raw):
            self.store(pointer, at, 1, byte)

    def store(self, pointer: Value, offset: int, size: int, value: Value) -> None:
        """The low `size` bytes of `value` go to pointer + offset; a pointer goes to the stack only, and whole."""
        if isinstance(pointer, Pointer) and pointer.region.kind == "ctx":
            self._store_context(signed(64, pointer.offset) + offset, size, value)
            return
        region, start = self._place(pointer, offset, size)
        if not region.is_writable:
            raise Fault(self.at(f"a store to {region}, which is read-only"))
        for at in range(start, start + size) if region.spilled else ():
            region.spilled.pop(at, None)
        if isinstance(value, int):
            region.data[start : start + size] = CONCRETE.const(8 * size, value).to_bytes(size, "little")
        elif region.kind == "stack" and size == 8:
            region.spill(start, value)
        else:
            raise self.unmodelled("leaked-pointer", "a pointer is stored outside the stack")

    def _place(self, pointer: Value, offset: int, size: int) -> tuple[Region, int]:
        """Where `size` bytes at pointer + offset lie; they are inside the region."""
        if isinstance(pointer, int):
            raise Fault(self.at(f"memory is reached through the number {pointer:#x}"))
        region, at = pointer.region, signed(64, pointer.offset) + offset
        if region.kind in ("ctx", "map", "function"):
            raise self.unmodelled("unmodelled-context", f"the inside of the {region.kind} is reached as bytes")
        if not region.is_live:
            raise self.unmodelled("stale-value-pointer", f"an entry that map {region.name} has given up is accessed")
        low, high = region.bounds
        if not low <= at <= high - size:
            raise Fault(self.at(f"{size} bytes at offset {at} of {region}, which has {high}"))
        return region, region.origin + at

    def _load_context(self, start: int, size: int) -> Value:
        for item in self.kind.context:
            inside = item.offset <= start and start + size <= item.offset + item.size
            if inside and (item.kind in (FieldKind.SCALAR, FieldKind.POINTER) or size == item.size):
                match item.kind:
                    case FieldKind.PACKET:
                        return Pointer(self.packet.region, CONCRETE.const(64, self.packet.start))
                    case FieldKind.PACKET_END:
                        return Pointer(self.packet.region, CONCRETE.const(64, self.packet.end))
                    case FieldKind.PACKET_META:
                        return Pointer(self.packet.region, CONCRETE.const(64, self.packet.meta))
                    case _:
                        return self.context.load(start, size)
        if self.kind.context:
            raise self.unmodelled("unmodelled-context", f"{size} bytes at offset {start} of the context")
        return self.context.load(start, size)

    def _store_context(self, start: int, size: int, value: Value) -> None:
        if isinstance(value, Pointer):
            raise self.unmodelled("leaked-pointer", "a pointer is stored to the context")
        for item in self.kind.context:
            if item.offset <= start and start + size <= item.offset + item.size:
                if item.name == "queue_mapping" and value >= NO_QUEUE_MAPPING:
                    return
                if item.name in UNFAITHFUL:
                    raise self.unmodelled("unmodelled-context", f"a store to {item.name}, which may keep a part of it")
                value = CONCRETE.const(KEPT_BITS.get(item.name, 8 * size), value)
        self.context.store(start, size, value)

    def _load_skb(self, op: ops.LoadSkb) -> bool:
        """Packet bytes to r0; False when they are not there, which ends the function with 0. The offset is an int in the kernel
        (net/core/filter.c: bpf_gen_ld_abs), and negative ones name the headers below the packet or ancillary data."""
        index = 0 if op.index is None else self.scalar(op.index)
        start = signed(32, CONCRETE.const(32, index + op.offset))
        if start < 0:
            raise self.unmodelled("unmodelled-instruction", f"a packet load at the negative offset {start}")
        found = start + op.size <= self.packet.whole_length
        raw = self.packet.bytes_at(start, op.size) if found else b""
        self.registers[:6] = [int.from_bytes(raw, "big")] + [None] * 5
        return found

    # --- helpers ------------------------------------------------------------------------------------------------------
    def _helper(self, helper_id: int) -> bool:
        """Runs a helper; True where a tail call has ended the program."""
        if helper_id == BPF_TAIL_CALL:
            return concrete_helpers.tail_call(self)
        effect = concrete_helpers.helper(helper_id)
        if effect is None:
            raise self.unmodelled("unmodelled-helper", f"helper {mapmodel.helper_name(helper_id)} has no model yet")
        self._returned(effect(self))
        return False

    def _kfunc(self, name: str) -> None:
        effect = concrete_helpers.kfunc(name)
        if effect is None:
            raise self.unmodelled("unmodelled-helper", f"the kernel function {name} has no model yet")
        self._returned(effect(self))

    def _returned(self, result: Value | None) -> None:
        value = result if isinstance(result, Pointer | None) else CONCRETE.const(64, result)
        self.registers[:6] = [value] + [None] * 5

    def ask(self, name: str, *args: int, usual: int = 0) -> int:
        """What the input's world says of an input of the semantics, or the usual value."""
        return self.given.world.get((name, args), usual)

    def drawn(self, helper: str) -> int:
        """The next result that the input has for a nondeterministic helper, 0 when there are no more."""
        number = self.calls[helper]
        self.calls[helper] += 1
        results = self.results.get(helper)
        return results.popleft() if results else self.ask(helper, number)

    def map(self, name: str) -> Map:
        contents = self.maps.get(name)
        if contents is None:
            raise self.unmodelled("unmodelled-map", f"the map {name} is of a type that has no model yet")
        return contents

    def map_argument(self, register: Reg = _R1) -> Map | InnerMap:
        """The map that a register names."""
        value = self.register(register)
        if isinstance(value, Pointer) and value.region.kind == "map":
            contents = self.map(value.region.name)
            if value.region.key and isinstance(contents, OuterMap):
                return InnerMap(contents.spec, contents.inside, value.region.key)
            return contents
        raise self.unmodelled("unmodelled-map", "the map of a call is not a map of the program")

    # --- small ones ---------------------------------------------------------------------------------------------------
    def register(self, register: Reg) -> Value:
        value = self.registers[register]
        if value is None:
            raise Fault(self.at(f"r{register} is read before anything was put into it"))
        return value

    def operand(self, operand: Operand) -> Value:
        return CONCRETE.const(64, operand.value) if isinstance(operand, Imm) else self.register(operand)

    def scalar(self, register: Reg) -> int:
        value = self.register(register)
        if isinstance(value, Pointer):
            raise self.unmodelled("pointer-arithmetic", f"r{register} holds a pointer where a number is needed")
        return value

    def at(self, message: str) -> str:
        return f"{self.function}, insn {self.insn_idx}: {message}"

    def unmodelled(self, gap: str, message: str) -> Unmodelled:
        return Unmodelled(gap, self.at(message))


Observer = Callable[[Machine], None]
"""Sees the machine before each instruction; what it changes, it changes for the run."""
