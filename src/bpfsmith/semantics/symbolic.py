"""Runs a program on symbolic inputs: one merged state per block, in an order that visits loops before what follows them.

The result is a single final state whose return value, memory and call counts are terms over the inputs. What the semantics does
not cover raises `Unmodelled`; what must hold for the result to mean anything (no stale pointer is used) is collected as
obligations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bpfsmith.ir import cfg, ops
from bpfsmith.ir.cfg import Function, build
from bpfsmith.ir.lift import lift
from bpfsmith.ir.ops import AluKind, Condition, Imm, Operand, Reg
from bpfsmith.isa import progtype
from bpfsmith.isa.context import FieldKind
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.helpers import HELPERS, HelperCall
from bpfsmith.semantics.memory import MIXED, Bytes, Initial, Pointer, Region, Target, Value, joined
from bpfsmith.semantics.recorded import ORDER, TAIL_CALL, PacketView
from bpfsmith.semantics.state import CTX, PACKET, Access, State, Unmodelled, merge
from bpfsmith.semantics.terms import Term, Terms

_SIGNED = {
    Condition.UGT: Condition.SGT,
    Condition.UGE: Condition.SGE,
    Condition.ULT: Condition.SLT,
    Condition.ULE: Condition.SLE,
}

KERNEL_READERS = frozenset({"BPF_PROG_TYPE_TRACING", "BPF_PROG_TYPE_LSM", "BPF_PROG_TYPE_STRUCT_OPS"})
"""Program types whose arguments are pointers that BTF describes: the verifier lets them be read directly."""

NARROWED = frozenset({"tc_index", "tc_classid", "queue_mapping", "user_port", "tstamp", "tstamp_type"})
"""Context fields that may not give back what was stored: the kernel keeps fewer bits, or gives them another meaning."""

MAX_BLOCK_VISITS = 64
"""How often a block may be entered in one call of its function before a loop counts as unbounded."""

MAX_TERMS = 300_000
"""Terms, of both programs together, beyond which a run gives up: some ten seconds of work."""

NULL_POINTER = "null-pointer"
"""The gap of an obligation that, when it can happen, is a fault of the program and not of the model."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """The result only holds where `condition` cannot happen; if it can, the verdict is Unknown with this gap."""

    condition: Term
    gap: str
    detail: str


def _may_alias(a: Region | None, b: Region | None) -> bool:
    """Entries of one hash map: equal keys give equal pointers, and a freed entry's memory is used again."""
    return a is not None and b is not None and a.kind == b.kind == "value" and a.name == b.name


@dataclass(slots=True)
class Run:
    """A finished symbolic run: the final state and what was noticed on the way."""

    state: State
    return_value: Term  # r0, 64 bits
    accesses: list[Access]
    obligations: list[Obligation]
    snapshots: dict[tuple[str, int], list[tuple[Term, PacketView]]]  # the packet as the nth call of a helper saw it


@dataclass(slots=True)
class Executor:
    """Executes one program over `t`. Make a fresh one per run. `side` tells apart what two programs do not share: their
    uninitialised stacks. Maps in `never_full` have room for every new key."""

    t: Terms
    program: Program
    side: str
    never_full: frozenset[str] = frozenset()
    accesses: list[Access] = field(default_factory=list)
    obligations: list[Obligation] = field(default_factory=list)
    _functions: dict[str, Function] = field(default_factory=dict)
    _frame: int = 0
    _depth: int = 0
    _generation: int = 0
    _insn_idx: int = 0
    _reads_kernel: bool = False
    lock_place: tuple[str, int] | None = None
    snapshots: dict[tuple[str, int], list[tuple[Term, PacketView]]] = field(default_factory=dict)
    reserved: dict[Region, int] = field(default_factory=dict)  # ring buffer reservations and their bytes
    settle: Callable[[Term], Term] = lambda value: value  # what to go on with instead of a value that was computed: its equal

    def run(self) -> Run:
        """Runs the program from its entry with r1 = ctx."""
        self._functions = {self.program.name: build(self.program.name, lift(self.program.insns))}
        for sub in self.program.subprograms:
            self._functions[sub.name] = build(sub.name, lift(sub.insns))
        state = State.start(self.t)
        for spec in self.program.maps:
            if spec.type in mapmodel.HASHES:
                state.maps[spec.name] = mapmodel.initial(self.t, spec)
        state.initial[CTX] = self.context_byte()
        self._reads_kernel = progtype.for_section(self.program.section).name in KERNEL_READERS
        state.registers[1] = self.pointer(CTX)
        state = self._call(self._functions[self.program.name], state)
        value = state.registers[0]
        if state.lock is not self.t.false:
            raise Unmodelled("lock-held", f"{self.program.name} may end with a lock held")
        if not isinstance(value, Term):
            raise Unmodelled("returned-pointer", f"{self.program.name} returns something that is not a number")
        return Run(state, value, self.accesses, self.obligations, self.snapshots)

    # --- control ------------------------------------------------------------------------------------------------------
    def _call(self, function: Function, state: State) -> State:
        """Runs one function to its exits and merges them; the caller keeps its own registers."""
        frame = self._frame
        self._frame += 1
        self._depth += 1
        state.registers[10] = self.pointer(Region("stack", f"{self.side}.{frame}"))
        rank = {block: position for position, block in enumerate(function.order)}
        pending = {0: state}
        visits: dict[int, int] = {}
        done: State | None = None
        while pending:
            block = min(pending, key=rank.__getitem__)
            current = pending.pop(block)
            visits[block] = visits.get(block, 0) + 1
            if visits[block] > MAX_BLOCK_VISITS:
                raise Unmodelled("loop-bound", f"{function.name}: a loop was not finished after {MAX_BLOCK_VISITS} rounds")
            for following, after in self._block(function, block, current):
                if following is None:
                    done = after if done is None else merge(done, after)
                else:
                    known = pending.get(following)
                    pending[following] = after if known is None else merge(known, after)
        if done is None:
            raise Unmodelled("no-exit", f"{function.name} never returns")
        done.regions.pop(Region("stack", f"{self.side}.{frame}"), None)
        self._depth -= 1
        return done

    def _block(self, function: Function, block: int, state: State) -> list[tuple[int | None, State]]:
        """Executes a block; returns (next block or None for exit, state) pairs of the paths that can be taken."""
        info = function.blocks[block]
        state.registers = [self.settle(value) if isinstance(value, Term) else value for value in state.registers]
        for index in range(info.start, info.end):
            self._insn_idx = index
            if len(self.t) > MAX_TERMS:
                raise Unmodelled("size-limit", self._at(f"the meaning so far takes more than {MAX_TERMS:,} terms"))
            op = function.ops[index]
            match op:
                case ops.Exit():
                    return [(None, state)]
                case ops.Jump():
                    return [(info.successors[0], state)]
                case ops.Branch():
                    taken = state.known(self._condition(state, op))
                    paths = ((info.successors[-1], taken), (info.successors[0], self.t.negate(taken)))
                    return [(to, after) for to, held in paths if (after := state.assume(held)) is not None]
                case ops.MayGoto() | ops.Unlifted() | ops.CallKfunc() | ops.LoadFunction():
                    raise Unmodelled("unmodelled-instruction", self._at(f"{type(op).__name__} is not modelled"))
                case ops.CallSubprogram(name=name):
                    state = self._subprogram(name, state)
                case ops.CallHelper(helper_id=cfg.BPF_TAIL_CALL):
                    left, gone = self._tail_called(state)
                    return [(None, gone), (info.successors[0], left)]
                case ops.CallHelper(helper_id=helper_id):
                    state = self._helper(state, helper_id)
                case _:
                    self._step(state, op)
        return [(info.successors[0], state)]

    def _subprogram(self, name: str, state: State) -> State:
        function = self._functions.get(name)
        if function is None:
            raise Unmodelled("unmodelled-instruction", self._at(f"the subprogram {name} is not part of the program"))
        saved, at = state.registers[6:], self._insn_idx
        state.registers[6:10] = [None] * 4
        state = self._call(function, state)
        state.registers[1:6] = [None] * 5
        state.registers[6:] = saved
        self._insn_idx = at
        return state

    def _condition(self, state: State, op: ops.Branch) -> Term:
        left, right = self._register(state, op.left), self._operand(state, op.right)
        if isinstance(left, Pointer) or isinstance(right, Pointer):
            if op.width < 64 or op.condition is Condition.SET:
                raise Unmodelled("pointer-comparison", self._at("some bits of a pointer are looked at"))
            return self._compare_pointers(op.condition, left, right)
        return meaning.condition(self.t, op.condition, op.width, left, right)

    def _compare_pointers(self, kind: Condition, left: Value, right: Value) -> Term:
        """A pointer against NULL, or two pointers into one region by offset. Offsets may be negative, and regions lie far from
        the ends of memory and from its middle: the order of addresses, signed or not, is that of signed offsets."""
        t = self.t
        if isinstance(left, Term):
            left, right = right, left
        assert isinstance(left, Pointer)
        if isinstance(right, Term):
            if not (right.is_const and right.number == 0):
                raise Unmodelled("pointer-comparison", self._at("a pointer is compared with a number"))
            null = t.any_of(*(t.all_of(x.guard, t.eq(64, x.offset, t.const(64, 0))) for x in left.targets if x.region is None))
            match kind:
                case Condition.EQ:
                    return null
                case Condition.NE | Condition.UGT:
                    return t.negate(null)
                case _:
                    raise Unmodelled("pointer-comparison", self._at("a pointer is ordered against a number"))
        results = []
        for a in left.targets:
            for b in right.targets:
                both = t.all_of(a.guard, b.guard)
                if both is t.false:
                    continue
                if a.region == b.region:
                    held = meaning.condition(t, _SIGNED.get(kind, kind), 64, a.offset, b.offset)
                elif kind in (Condition.EQ, Condition.NE) and not _may_alias(a.region, b.region):
                    held = t.truth(kind is Condition.NE)
                else:
                    raise Unmodelled("pointer-comparison", self._at("pointers into different regions are ordered"))
                results.append(t.all_of(both, held))
        return t.any_of(*results)

    # --- one op -------------------------------------------------------------------------------------------------------
    def _step(self, state: State, op: ops.Op) -> None:
        t, registers = self.t, state.registers
        match op:
            case ops.Alu(kind=kind, width=width, dst=dst):
                value = self._alu(state, kind, width, dst, self._operand(state, op.src))
                registers[dst] = self.settle(value) if isinstance(value, Term) else value
            case ops.Negate(width=width, dst=dst):
                registers[dst] = self.settle(meaning.negate(t, width, self.scalar(state, dst)))
            case ops.MoveSigned(width=width, bits=bits, dst=dst, src=src):
                registers[dst] = meaning.move_signed(t, width, bits, self.scalar(state, src))
            case ops.ByteOrder(to=to, bits=bits, dst=dst):
                registers[dst] = meaning.byte_order(t, to, bits, self.scalar(state, dst))
            case ops.LoadImm(dst=dst, value=value):
                registers[dst] = t.const(64, value)
            case ops.LoadMap(dst=dst, map=name):
                registers[dst] = self.pointer(Region("map", self._known_map(name)))
            case ops.LoadMapValue(dst=dst, map=name, offset=offset):
                registers[dst] = self.pointer(Region("data", self._known_map(name)), offset)
            case ops.Load(dst=dst, base=base, offset=offset, size=size, signed=signed):
                loaded = self.load(state, self._register(state, base), offset, size)
                if isinstance(loaded, Term) and size < 8:
                    loaded = t.sext(loaded, 8 * size, 64) if signed else t.zext(loaded, 8 * size, 64)
                registers[dst] = self.settle(loaded) if isinstance(loaded, Term) else loaded
            case ops.Store(base=base, offset=offset, size=size):
                self.store(state, self._register(state, base), offset, size, self._operand(state, op.src))
            case ops.Atomic():
                self._atomic(state, op)
            case _:
                raise Unmodelled("unmodelled-instruction", self._at(f"{type(op).__name__} is not modelled"))

    def _alu(self, state: State, kind: AluKind, width: int, dst: Reg, src: Value) -> Value | None:
        if kind is AluKind.MOV:
            if width == 64:
                return src
            if isinstance(src, Pointer):
                raise Unmodelled("pointer-arithmetic", self._at("a pointer is cut to 32 bits"))
            return meaning.alu(self.t, kind, width, src, src)
        old = self._register(state, dst)
        if isinstance(old, Term) and isinstance(src, Term):
            return meaning.alu(self.t, kind, width, old, src)
        return self._pointer_alu(kind, width, old, src)

    def _pointer_alu(self, kind: AluKind, width: int, old: Value, src: Value) -> Value:
        t = self.t
        if kind is AluKind.ADD and width == 64:
            if isinstance(old, Term):
                old, src = src, old
            if isinstance(old, Pointer) and isinstance(src, Term):
                return self.shift(old, src)
        if kind is AluKind.SUB and isinstance(old, Pointer):
            if isinstance(src, Term) and width == 64:
                return self.shift(old, t.sub(64, t.const(64, 0), src))
            if isinstance(src, Pointer) and len(old.targets) == len(src.targets) == 1:
                a, b = old.targets[0], src.targets[0]
                if a.region == b.region:
                    return meaning.alu(t, AluKind.SUB, width, a.offset, b.offset)
        raise Unmodelled("pointer-arithmetic", self._at(f"{kind} on pointers is not modelled"))

    def _atomic(self, state: State, op: ops.Atomic) -> None:
        t, width = self.t, 8 * op.size
        place = self._register(state, op.base)
        src = t.extract(self.scalar(state, op.src), 64, width - 1, 0)
        expected = src
        if op.kind is ops.AtomicKind.CMPXCHG:
            expected = t.extract(self.scalar(state, Reg(0)), 64, width - 1, 0)
        before = len(self.accesses)
        old = self.load(state, place, op.offset, op.size)
        if not isinstance(old, Term):
            raise Unmodelled("pointer-arithmetic", self._at("an atomic operation on a pointer"))
        self.store(state, place, op.offset, op.size, t.zext(meaning.atomic(t, op.kind, width, old, src, expected), width, 64))
        shared = [access for access in self.accesses[before:] if access.kind == "store"]
        kind = "add" if op.kind is ops.AtomicKind.ADD and not op.fetch else "update"
        self.accesses[before:] = [replace(access, kind=kind) for access in shared]
        if op.fetch:
            state.registers[0 if op.kind is ops.AtomicKind.CMPXCHG else op.src] = t.zext(old, width, 64)

    def _tail_called(self, state: State) -> tuple[State, State]:
        """Where a tail call finds no program, this one goes on; where it finds one, that one's result is the function's."""
        t = self.t
        if self._depth > 1:
            # The caller goes on after whatever the other program has done.
            raise Unmodelled("unmodelled-tail-call", self._at("a tail call in a subprogram"))
        if state.packet != Pointer((Target(t.true, PACKET, t.const(64, 0)),)):
            raise Unmodelled("unmodelled-tail-call", self._at("a tail call after the packet's start has moved"))
        channel = f"{TAIL_CALL}:{self.map_spec(self._register(state, Reg(2))).name}"
        number = state.calls.get(channel, t.const(16, 0))
        after = self._helper(state, cfg.BPF_TAIL_CALL)
        found = t.app(f"{channel}.found", 0, number)
        left, gone = after.assume(t.negate(found)), after.assume(found)
        if left is None or gone is None:
            raise Unmodelled("unmodelled-tail-call", self._at("a tail call whose outcome is that of another"))
        gone.registers[0] = t.app(f"{channel}.result", 64, number)
        return left, gone

    def _helper(self, state: State, helper_id: int) -> State:
        model = HELPERS.get(helper_id)
        if model is None:
            raise Unmodelled("unmodelled-helper", self._at(f"helper {mapmodel.helper_name(helper_id)} has no model yet"))
        done: State | None = None
        for path in self._one_map_each(state):
            args = [self._register(path, Reg(1 + i)) for i in range(model.arity)]
            result = model.effect(HelperCall(self, path, model.name, tuple(args)))
            path.registers[1:6] = [None] * 5
            path.registers[0] = result
            done = path if done is None else merge(done, path)
        assert done is not None
        return done

    def _one_map_each(self, state: State) -> list[State]:
        """Compilers merge calls that differ in their map only: one state for each map that r1 may name, on its condition."""
        map_argument = state.registers[1]
        if not isinstance(map_argument, Pointer) or len(map_argument.targets) == 1:
            return [state]
        if any(target.region is None or target.region.kind != "map" for target in map_argument.targets):
            return [state]
        paths = []
        for target in map_argument.targets:
            path = state.assume(state.known(target.guard))
            if path is not None:
                path.registers[1] = Pointer((replace(target, guard=self.t.true),))
                paths.append(path)
        return paths or [state]

    # --- what helper models build on ----------------------------------------------------------------------------------
    def pointer(self, region: Region, offset: int = 0) -> Pointer:
        return Pointer((Target(self.t.true, region, self.t.const(64, offset)),))

    def shift(self, pointer: Pointer, distance: Term) -> Pointer:
        t = self.t
        return Pointer(tuple(Target(x.guard, x.region, t.add(64, x.offset, distance)) for x in pointer.targets))

    def map_spec(self, value: Value) -> MapSpec:
        """The map that a helper's first argument names."""
        if isinstance(value, Pointer) and len(value.targets) == 1:
            region = value.targets[0].region
            if region is not None and region.kind == "map":
                return self.program.map(region.name)
        raise Unmodelled("unmodelled-map", self._at("the map of a call is not a constant"))

    def scalar(self, state: State, register: Reg) -> Term:
        value = self._register(state, register)
        if isinstance(value, Pointer):
            raise Unmodelled("pointer-arithmetic", self._at(f"r{register} holds a pointer where a number is needed"))
        return value

    def argument(self, state: State, number: int) -> Value:
        """What r1, r2.. holds at a call, for helpers that do not always read it."""
        return self._register(state, Reg(number))

    def new_generation(self) -> Term:
        self._generation += 1
        return self.t.const(32, self._generation)

    def load(self, state: State, pointer: Value, offset: int, size: int) -> Value:
        """`size` bytes at pointer + offset: a term of 8 * size bits, or a pointer. NULL targets cannot be, as the program is
        accepted."""
        t = self.t
        if isinstance(pointer, Term) and self._reads_kernel:
            return self._load_kernel(state, t.add(64, pointer, t.const(64, offset)), size)
        result: Value | None = None
        for target in reversed(self._targets(state, pointer)):
            where = t.add(64, target.offset, t.const(64, offset))
            value = self._load_from(state, target, where, size)
            if result is None:
                result = value
            elif isinstance(result, Term) and isinstance(value, Term):
                result = t.ite(8 * size, target.guard, value, result)
            else:
                raise Unmodelled("mixed-pointer", self._at("a load may give a pointer or a number"))
        assert result is not None
        return result

    def store(self, state: State, pointer: Value, offset: int, size: int, value: Value) -> None:
        """The low `size` bytes of a 64-bit `value` (or a pointer, to the stack) at pointer + offset."""
        t = self.t
        targets = self._targets(state, pointer)
        if isinstance(value, Term) and size < 8:
            value = t.extract(value, value.width, 8 * size - 1, 0)
        for target in targets:
            where = t.add(64, target.offset, t.const(64, offset))
            new = value
            if len(targets) > 1:
                old = self._load_from(state, target, where, size, log=False)
                if not (isinstance(old, Term) and isinstance(new, Term)):
                    raise Unmodelled("mixed-pointer", self._at("a pointer is stored through a pointer that has two targets"))
                if target.region is not None and target.region.kind != "value":
                    new = t.ite(8 * size, target.guard, new, old)
            self._store_to(state, target, where, size, new)

    def _targets(self, state: State, pointer: Value) -> list[Target]:
        if not isinstance(pointer, Pointer):
            raise Unmodelled("pointer-arithmetic", self._at("memory is reached through a number"))
        targets = [target for target in pointer.targets if target.region is not None]
        null = self.t.any_of(*(target.guard for target in pointer.targets if target.region is None))
        reached = self.t.all_of(state.condition, null)
        if reached is not self.t.false and all(known.condition is not reached for known in self.obligations):
            self.obligations.append(Obligation(reached, NULL_POINTER, self._at("memory is reached through NULL")))
        if not targets:
            raise Unmodelled(NULL_POINTER, self._at("memory is reached through NULL"))
        return targets

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
            case "data":
                frozen = self.program.map(region.name)
                if frozen.frozen and frozen.initial is not None:
                    return self._frozen(frozen.initial, where, size)
                if log and not frozen.frozen:
                    self._log(state, "load", target, where, size)
                return state.memory(region).load(self.t, where, size)
            case _:
                return state.memory(region).load(self.t, where, size)

    def _frozen(self, initial: bytes, where: Term, size: int) -> Value:
        if where.is_const:
            return self.t.const(8 * size, int.from_bytes(initial[where.number : where.number + size], "little"))
        if len(initial) > 4096:
            raise Unmodelled("unmodelled-map", self._at("a large constant table is read at an offset that is not constant"))
        table = Bytes(lambda offset: self.t.const(8, 0))
        for at, byte in enumerate(initial):
            if byte:
                table = table.store(self.t, self.t.const(64, at), 1, self.t.const(8, byte))
        return table.load(self.t, where, size)

    def _store_to(self, state: State, target: Target, where: Term, size: int, value: Value) -> None:
        region = target.region
        assert region is not None
        if isinstance(value, Pointer) and (region.kind != "stack" or size != 8):
            raise Unmodelled("leaked-pointer", self._at("a pointer is stored outside the stack"))
        match region.kind:
            case "ctx":
                layout = progtype.for_section(self.program.section).context
                field = next(
                    (item for item in layout if where.is_const and item.offset <= where.number < item.offset + item.size), None
                )
                if field is not None and field.name in NARROWED:
                    raise Unmodelled("unmodelled-context", self._at(f"a store to {field.name}, which keeps a part of it"))
                if not where.is_const or isinstance(value, Pointer):
                    raise Unmodelled("unmodelled-context", self._at("a store to the context that is not to a constant field"))
                state.regions[CTX] = state.memory(CTX).store(self.t, where, size, value)
            case "value":
                assert isinstance(value, Term)
                self._log(state, "store", target, where, size)
                key = self._entry(state, target)
                state.maps[region.name] = state.maps[region.name].poke(target.guard, key, where, size, value)
            case _:
                if region.kind == "data":
                    self._log(state, "store", target, where, size)
                state.regions[region] = state.memory(region).store(self.t, where, size, value)

    def _entry(self, state: State, target: Target) -> Term:
        """The key of a pointed-to entry; a pointer made before the entry was replaced or deleted is stale."""
        region = target.region
        assert region is not None
        assert region.key is not None
        assert region.generation is not None
        current = state.maps[region.name].generation(self.t, region.key)
        stale = self.t.all_of(state.condition, target.guard, self.t.negate(self.t.eq(32, current, region.generation)))
        if stale is not self.t.false:
            detail = self._at(f"a value pointer of map {region.name} is used after its entry may have been replaced or deleted")
            self.obligations.append(Obligation(stale, "stale-value-pointer", detail))
        return region.key

    def _log(self, state: State, kind: str, target: Target, where: Term, size: int) -> None:
        region = target.region
        assert region is not None
        guard = self.t.all_of(state.condition, target.guard)
        offset = where.number if where.is_const and region.kind == "data" else None
        self.accesses.append(Access(kind, region.name, offset, size, guard, state.lock, self._insn_idx))

    def context_byte(self, version: str = "") -> Initial:
        """The context before the run, or after a call that may have changed it: every field is an input, or every byte where
        there are no fields (tracing)."""
        t, layout = self.t, progtype.for_section(self.program.section).context
        owners = {item.offset + i: (item, i) for item in layout if item.kind == FieldKind.SCALAR for i in range(item.size)}

        def initial(offset: Term) -> Term:
            owner = owners.get(offset.number) if offset.is_const else None
            if owner is None:
                return t.app(f"ctx{version}", 8, offset)
            item, at = owner
            return t.extract(t.app(f"ctx.{item.name}{version}", 8 * item.size), 8 * item.size, 8 * at + 7, 8 * at)

        return initial

    def _load_ctx(self, state: State, where: Term, size: int) -> Value:
        layout = progtype.for_section(self.program.section).context
        if not where.is_const:
            raise Unmodelled("unmodelled-context", self._at("the context is read at an offset that is not constant"))
        for item in layout:
            inside = item.offset <= where.number and where.number + size <= item.offset + item.size
            if inside and (item.kind == FieldKind.SCALAR or size == item.size):
                match item.kind:
                    case FieldKind.PACKET:
                        return state.packet
                    case FieldKind.PACKET_END:
                        return state.packet_end
                    case FieldKind.SCALAR if not item.name.startswith("tstamp"):
                        return state.memory(CTX).load(self.t, where, size)
                    case _:
                        raise Unmodelled("unmodelled-context", self._at(f"the context field {item.name}"))
        if layout:
            raise Unmodelled("unmodelled-context", self._at(f"{size} bytes at offset {where.number} of the context"))
        return state.memory(CTX).load(self.t, where, size)

    def _load_kernel(self, state: State, address: Term, size: int) -> Term:
        """Kernel memory behind a pointer that BTF describes: a fault reads as zero, and only helpers may change it."""
        t = self.t
        calls = state.calls.get(ORDER, t.const(16, 0))
        return joined(t, [t.app("kernel", 8, t.add(64, address, t.const(64, i)), calls) for i in range(size)])

    # --- small ones ---------------------------------------------------------------------------------------------------
    def _register(self, state: State, register: Reg) -> Value:
        value = state.registers[register]
        if value is None or value is MIXED:
            raise Unmodelled("mixed-register", self._at(f"r{register} holds different kinds of values on different paths"))
        return value

    def _operand(self, state: State, operand: Operand) -> Value:
        if isinstance(operand, Imm):
            return self.t.const(64, operand.value)
        return self._register(state, operand)

    def _known_map(self, name: str) -> str:
        if all(spec.name != name for spec in self.program.maps):
            raise Unmodelled("unmodelled-map", self._at(f"{name} is not a map of the program"))
        return name

    def _at(self, message: str) -> str:
        return f"insn {self._insn_idx}: {message}"
