"""Runs a program on symbolic inputs: one merged state per block, in an order that visits loops before what follows them.

The result is a single final state whose return value, memory and call counts are terms over the inputs. What the semantics does
not cover raises `Unmodelled`; what must hold for the result to mean anything (no stale pointer is used) is collected as
obligations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bpfsmith.ir import cfg, ops
from bpfsmith.ir.cfg import Block, Function, build
from bpfsmith.ir.lift import lift
from bpfsmith.ir.ops import AluKind, Condition, Imm, Operand, Reg
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.access import Accessor, Obligation
from bpfsmith.semantics.call import CallModel, HelperCall
from bpfsmith.semantics.callbacks import CALLBACKS
from bpfsmith.semantics.fork import decides
from bpfsmith.semantics.helpers import HELPERS
from bpfsmith.semantics.kfuncs import KFUNCS
from bpfsmith.semantics.memory import HashMap, Pointer, Region, Target, Value, joined
from bpfsmith.semantics.recorded import TAIL_CALL, View, packet_view
from bpfsmith.semantics.state import CTX, PACKET, Access, State, Unmodelled, merge
from bpfsmith.semantics.terms import Term

_SIGNED = {
    Condition.UGT: Condition.SGT,
    Condition.UGE: Condition.SGE,
    Condition.ULT: Condition.SLT,
    Condition.ULE: Condition.SLE,
}

MAX_BLOCK_VISITS = 1024
"""How often a block may be entered in one call of its function before a loop counts as unbounded."""

MAY_GOTO = "loops that `may_goto` ends in the end finish before"
"""The kernel's budget for them is millions of rounds, or a quarter of a second."""

MAX_TERMS = 300_000
"""Terms, of both programs together, beyond which a run gives up: some ten seconds of work."""


_MIRRORED = {
    Condition.UGT: Condition.ULT,
    Condition.UGE: Condition.ULE,
    Condition.ULT: Condition.UGT,
    Condition.ULE: Condition.UGE,
    Condition.SGT: Condition.SLT,
    Condition.SGE: Condition.SLE,
    Condition.SLT: Condition.SGT,
    Condition.SLE: Condition.SGE,
}
"""What a condition says with its operands exchanged."""


def _may_alias(a: Target, b: Target) -> bool:
    """May two places in what are not the same regions be one? Entries of one hash map: equal keys give equal pointers, and a
    freed entry's memory is used again. Two keys may lead to one entry of a trie, or to one map inside a map."""
    if a.region is None or b.region is None:
        return a.is_number or b.is_number
    return a.region.kind == b.region.kind and (
        (a.region.kind in ("value", "opaque") and a.region.name == b.region.name)
        or (a.region.kind == "map" and (a.region.key is not None or b.region.key is not None))
    )


@dataclass(slots=True)
class Run:
    """A finished symbolic run: the final state and what was noticed on the way."""

    state: State
    return_value: Term  # r0, 64 bits
    accesses: list[Access]
    obligations: list[Obligation]
    snapshots: dict[tuple[str, int], list[tuple[Term, View]]]  # the packet and context as the nth call of a helper saw them
    assumed: tuple[str, ...]


@dataclass(slots=True)
class Executor(Accessor):
    """Executes one program over `t`. Make a fresh one per run. Maps in `never_full` have room for every new key; `initial` are
    the contents of maps of entries that do not start as any there could be."""

    never_full: frozenset[str] = frozenset()
    initial: Mapping[str, HashMap] = field(default_factory=dict)
    settle: Callable[[Term], Term] = lambda value: value  # what to go on with instead of a value that was computed: its equal
    lock_place: tuple[str, int] | None = None
    snapshots: dict[tuple[str, int], list[tuple[Term, View]]] = field(default_factory=dict)
    _functions: dict[str, Function] = field(default_factory=dict)
    _frame: int = 0
    _depth: int = 0

    def run(self) -> Run:
        """Runs the program from its entry with r1 = ctx."""
        self._functions = {self.program.name: build(self.program.name, lift(self.program.insns))}
        for sub in self.program.subprograms:
            self._functions[sub.name] = build(sub.name, lift(sub.insns))
        state = State.start(self.t)
        for spec in mapmodel.entry_specs(self.program.maps):
            state.maps[spec.name] = self.initial.get(spec.name) or mapmodel.initial(self.t, spec)
        state.initial[CTX] = self.context_byte()
        state.registers[1] = self.pointer(CTX)
        state = self._call(self._functions[self.program.name], state)
        value = state.registers[0]
        if self.faults is not None:
            self.fault(state, self.t.any_of(state.lock, self.held(state)))
        elif state.lock is not self.t.false:
            raise Unmodelled("lock-held", f"{self.program.name} may end with a lock held")
        if not isinstance(value, Term):
            raise Unmodelled("returned-pointer", f"{self.program.name} returns something that is not a number")
        self.inner_maps_stand_alone()
        return Run(state, value, self.accesses, self.obligations, self.snapshots, tuple(self.assumed))

    # --- control ------------------------------------------------------------------------------------------------------
    def _call(self, function: Function, state: State) -> State:
        """Runs one function to its exits and merges them; the caller keeps its own registers."""
        frame = self.new_frame()
        self._depth += 1
        state.registers[10] = self.pointer(frame)
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
        done.regions.pop(frame, None)
        self._depth -= 1
        return done

    def _left(
        self, info: Block, op: ops.Exit | ops.Jump | ops.Branch | ops.MayGoto, state: State
    ) -> list[tuple[int | None, State]]:
        """Where an instruction that ends a block leads, None for the function's end, and the states of those paths."""
        match op:
            case ops.Exit():
                state.registers[0] = self._narrowed(state, state.registers[0])
                return [(None, state)]
            case ops.Branch():
                taken = state.known(self._condition(state, op))
                paths = ((info.successors[-1], taken), (info.successors[0], self.t.negate(taken)))
                return [(to, after) for to, held in paths if (after := state.assume(held)) is not None]
            case ops.MayGoto():
                self.assumed[MAY_GOTO] = None
            case ops.Jump():
                pass
        return [(info.successors[0], state)]

    def _block(self, function: Function, block: int, state: State) -> list[tuple[int | None, State]]:
        """Executes a block; returns (next block or None for exit, state) pairs of the paths that can be taken."""
        info = function.blocks[block]
        state.registers = [self.settle(value) if isinstance(value, Term) else value for value in state.registers]
        for index in range(info.start, info.end):
            self.insn_idx = index
            if len(self.t) > MAX_TERMS:
                raise self.unmodelled("size-limit", f"the meaning so far takes more than {MAX_TERMS:,} terms")
            op = function.ops[index]
            match op:
                case ops.Exit() | ops.Jump() | ops.Branch() | ops.MayGoto():
                    return self._left(info, op, state)
                case ops.LoadSkb():
                    return self._load_skb(state, op, info.successors[0])
                case ops.AddressCast():
                    self.cast(state, op)
                case ops.Unlifted(text=text):
                    raise self.unmodelled("unmodelled-instruction", f"{text} is not modelled")
                case ops.CallKfunc(name=name):
                    state = self._called(state, KFUNCS.get(name), f"the kernel function {name}")
                case ops.CallHelper(helper_id=helper_id) if helper_id in CALLBACKS:
                    state = CALLBACKS[helper_id](self, state)
                case ops.CallSubprogram(name=name):
                    state = self._subprogram(name, state)
                case ops.CallHelper(helper_id=cfg.BPF_TAIL_CALL):
                    left, gone = self._tail_called(state)
                    return [(None, gone), (info.successors[0], left)]
                case ops.CallHelper(helper_id=helper_id):
                    state = self._called(state, HELPERS.get(helper_id), f"helper {mapmodel.helper_name(helper_id)}")
                case _:
                    self._step(state, op)
        return [(info.successors[0], state)]

    def call_back(self, name: str, state: State, arguments: tuple[Value, ...]) -> State:
        """Runs a function that a helper calls; the result is in r0."""
        state.registers[1:6] = [*arguments, *[None] * (5 - len(arguments))]
        return self._subprogram(name, state)

    def new_frame(self) -> Region:
        """A stack of its own."""
        self._frame += 1
        return Region("stack", f"{self.side}.{self._frame - 1}")

    def _narrowed(self, state: State, value: Value | None) -> Value | None:
        """A pointer without the targets that this path excludes: one that was found to be NULL is the number 0."""
        if not isinstance(value, Pointer):
            return value
        left = tuple(
            x
            for x in value.targets
            if decides(self.t, state.path, x.guard) is not False and self.t.all_of(state.condition, x.guard) is not self.t.false
        )
        if left and all(target.region is None for target in left):
            return left[0].offset
        return Pointer(left) if left else value

    def cast(self, state: State, op: ops.AddressCast) -> None:
        """An address of an arena, of which nothing is known here (`arena.ArenaExecutor`)."""
        raise self.unmodelled("unmodelled-instruction", f"{op.text} is not modelled")

    def _subprogram(self, name: str, state: State) -> State:
        function = self._functions.get(name)
        if function is None:
            raise self.unmodelled("unmodelled-instruction", f"the subprogram {name} is not part of the program")
        saved, at = state.registers[6:], self.insn_idx
        state.registers[6:10] = [None] * 4
        state = self._call(function, state)
        state.registers[1:6] = [None] * 5
        state.registers[6:] = saved
        self.insn_idx = at
        return state

    def _condition(self, state: State, op: ops.Branch) -> Term:
        left, right = self._register(state, op.left), self._operand(state, op.right)
        if isinstance(left, Pointer) or isinstance(right, Pointer):
            if op.width < 64 or op.condition is Condition.SET:
                raise self.unmodelled("pointer-comparison", "some bits of a pointer are looked at")
            return self._compare_pointers(state, op.condition, left, right)
        return meaning.condition(self.t, op.condition, op.width, left, right)

    def _compare_pointers(self, state: State, kind: Condition, left: Value, right: Value) -> Term:
        """A pointer against NULL, or two pointers into one region by offset. Offsets may be negative, and regions lie far from
        the ends of memory and from its middle: the order of addresses, signed or not, is that of signed offsets."""
        t = self.t
        if isinstance(left, Term):
            left, right, kind = right, left, _MIRRORED.get(kind, kind)
        assert isinstance(left, Pointer)
        if isinstance(right, Term):
            if not (right.is_const and right.number == 0):
                raise self.unmodelled("pointer-comparison", "a pointer is compared with a number")
            null = t.any_of(*(t.all_of(x.guard, t.eq(64, x.offset, t.const(64, 0))) for x in left.targets if x.region is None))
            match kind:
                case Condition.EQ | Condition.ULE:
                    return null
                case Condition.NE | Condition.UGT:
                    return t.negate(null)
                case Condition.ULT | Condition.UGE:
                    return t.truth(kind is Condition.UGE)
                case _:
                    raise self.unmodelled("pointer-comparison", "a pointer is ordered against a number")
        results = []
        for a in left.targets:
            for b in right.targets:
                both = t.all_of(a.guard, b.guard)
                if both is t.false:
                    continue
                if a.region is None and b.region is None:
                    held = meaning.condition(t, kind, 64, a.offset, b.offset)
                elif a.region == b.region:
                    held = meaning.condition(t, _SIGNED.get(kind, kind), 64, a.offset, b.offset)
                elif kind in (Condition.EQ, Condition.NE) and not _may_alias(a, b):
                    held = t.truth(kind is Condition.NE)
                else:
                    self.oblige(
                        t.all_of(state.condition, both), "pointer-comparison", "pointers into different regions are ordered"
                    )
                    held = t.false
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
            case ops.LoadFunction(dst=dst, name=name):
                registers[dst] = self.pointer(Region("function", name))
            case ops.LoadSymbol(dst=dst, name=name):
                registers[dst] = t.app(f"symbol:{name}", 64)
            case ops.LoadMapValue(dst=dst, map=name, offset=offset):
                registers[dst] = self.pointer(Region("data", self._known_map(name)), offset)
            case ops.Load(dst=dst, base=base, offset=offset, size=size, signed=signed):
                place = self._register(state, base)
                loaded = self.load(state, place, offset, size)
                self._takes_constants(place)
                if isinstance(loaded, Term) and size < 8:
                    loaded = t.sext(loaded, 8 * size, 64) if signed else t.zext(loaded, 8 * size, 64)
                registers[dst] = self.settle(loaded) if isinstance(loaded, Term) else loaded
            case ops.Store(base=base, offset=offset, size=size):
                self.store(state, self._register(state, base), offset, size, self._operand(state, op.src))
            case ops.Atomic():
                self._atomic(state, op)
            case _:
                raise self.unmodelled("unmodelled-instruction", f"{type(op).__name__} is not modelled")

    def _takes_constants(self, place: Value) -> None:
        """Variables of read-only sections are what userspace sets them to before it loads the program: here, nothing."""
        for target in place.targets if isinstance(place, Pointer) else ():
            if target.region is not None and target.region.kind == "data" and self.program.map(target.region.name).frozen:
                self.assumed[f"{target.region.name} holds what the object says"] = None

    def _alu(self, state: State, kind: AluKind, width: int, dst: Reg, src: Value) -> Value | None:
        if kind is AluKind.MOV:
            if width == 64:
                return src
            number = self._address(src)
            return meaning.alu(self.t, kind, width, number, number)
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
            if isinstance(src, Pointer):
                return self._distance(width, old, src)
        return meaning.alu(t, kind, width, self._address(old), self._address(src))

    def _address(self, value: Value) -> Term:
        """The address that a pointer is, as a number: what the packet's or the context's is, is an input."""
        t = self.t
        if isinstance(value, Term):
            return value
        result = t.const(64, 0)
        for target in value.targets:
            if target.region is None:
                address = target.offset
            elif target.region.kind in ("packet", "ctx"):
                address = t.add(64, t.app(f"address:{target.region.kind}:{target.region.name}", 64), target.offset)
            else:
                raise self.unmodelled(
                    "pointer-arithmetic", f"the address of {target.region.kind} {target.region.name} as a number"
                )
            result = t.ite(64, target.guard, address, result)
        return result

    def _distance(self, width: int, left: Pointer, right: Pointer) -> Term:
        """left - right, which lie in one region whatever the path."""
        t = self.t
        result = t.const(64, 0)
        for a in left.targets:
            for b in right.targets:
                both = t.all_of(a.guard, b.guard)
                if both is t.false:
                    continue
                if a.region != b.region:
                    raise self.unmodelled("pointer-arithmetic", "the distance of pointers into different regions")
                result = t.ite(64, both, meaning.alu(t, AluKind.SUB, width, a.offset, b.offset), result)
        return result

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
            raise self.unmodelled("pointer-arithmetic", "an atomic operation on a pointer")
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
            raise self.unmodelled("unmodelled-tail-call", "a tail call in a subprogram")
        if state.packet != Pointer((Target(t.true, PACKET, t.const(64, 0)),)):
            raise self.unmodelled("unmodelled-tail-call", "a tail call after the packet's start has moved")
        channel = f"{TAIL_CALL}:{self.map_spec(self._register(state, Reg(2))).name}"
        number = state.calls.get(channel, t.const(16, 0))
        after = self._called(state, HELPERS[cfg.BPF_TAIL_CALL], TAIL_CALL)
        found = t.app(f"{channel}.found", 0, number)
        left, gone = after.assume(t.negate(found)), after.assume(found)
        if left is None or gone is None:
            raise self.unmodelled("unmodelled-tail-call", "a tail call whose outcome is that of another")
        gone.registers[0] = t.app(f"{channel}.result", 64, number)
        return left, gone

    def _called(self, state: State, model: CallModel | None, what: str) -> State:
        if model is None:
            raise self.unmodelled("unmodelled-helper", f"{what} has no model yet")
        done: State | None = None
        for path in self._one_object_each(state):
            args = [self._register(path, Reg(1 + i)) for i in range(model.arity)]
            result = model.effect(HelperCall(self, path, model.name, tuple(args)))
            path.registers[1:6] = [None] * 5
            path.registers[0] = result
            done = path if done is None else merge(done, path)
        assert done is not None
        return done

    def _one_object_each(self, state: State) -> list[State]:
        """Compilers merge calls that differ in their map or reservation only: one state for each that r1 may name, on its
        condition."""
        first = state.registers[1]
        if not isinstance(first, Pointer) or len(first.targets) == 1:
            return [state]
        targets = [target for target in first.targets if target.region is not None]
        if any(target.region is None or target.region.kind not in ("map", "record") for target in targets):
            return [state]
        paths = []
        for target in targets:
            path = state.assume(state.known(target.guard))
            if path is not None:
                path.registers[1] = Pointer((replace(target, guard=self.t.true),))
                paths.append(path)
        return paths or [state]

    def _load_skb(self, state: State, op: ops.LoadSkb, following: int) -> list[tuple[int | None, State]]:
        """Packet bytes in network order; where they are not there the function ends with 0 (net/core/filter.c: gen_ld_abs).
        Negative offsets name headers below the packet and ancillary data: they are left out."""
        t = self.t
        index = t.const(32, 0) if op.index is None else t.extract(self.scalar(state, op.index), 64, 31, 0)
        offset = t.add(32, index, t.const(32, op.offset))
        below = t.all_of(state.condition, t.slt(32, offset, t.const(32, 0)))
        if below is not t.false:
            self.oblige(below, "unmodelled-instruction", "a packet load at an offset that may be negative")
        start = t.zext(offset, 32, 64)
        fits = t.negate(t.ult(64, self.whole_length(state), t.add(64, start, t.const(64, op.size))))
        paths: list[tuple[int | None, State]] = []
        missing, loaded = state.assume(state.known(t.negate(fits))), state.assume(state.known(fits))
        if missing is not None:
            missing.registers[0] = t.const(64, 0)
            paths.append((None, missing))
        if loaded is not None:
            view = packet_view(t, loaded)
            raw = [view.byte(t, t.add(64, start, t.const(64, i))) for i in reversed(range(op.size))]
            loaded.registers[:6] = [t.zext(joined(t, raw), 8 * op.size, 64), *[None] * 5]
            paths.append((following, loaded))
        return paths

    # --- what helper models build on ----------------------------------------------------------------------------------
    def scalar(self, state: State, register: Reg) -> Term:
        value = self._narrowed(state, self._register(state, register))
        if not isinstance(value, Term):
            raise self.unmodelled("pointer-arithmetic", f"r{register} holds a pointer where a number is needed")
        return value

    def argument(self, state: State, number: int) -> Value:
        """What r1, r2.. holds at a call, for helpers that do not always read it."""
        return self._register(state, Reg(number))

    # --- small ones ---------------------------------------------------------------------------------------------------
    def _register(self, state: State, register: Reg) -> Value:
        value = state.registers[register]
        if value is None:
            raise self.unmodelled("mixed-register", f"r{register} holds nothing on some path")
        if isinstance(value, Pointer) and any(target.is_number for target in value.targets):
            narrowed = self._narrowed(state, value)
            assert narrowed is not None
            return narrowed
        return value

    def _operand(self, state: State, operand: Operand) -> Value:
        if isinstance(operand, Imm):
            return self.t.const(64, operand.value)
        return self._register(state, operand)

    def _known_map(self, name: str) -> str:
        if all(spec.name != name for spec in self.program.maps):
            raise self.unmodelled("unmodelled-map", f"{name} is not a map of the program")
        return name
