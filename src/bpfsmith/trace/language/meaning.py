"""What a probe program means, as behaviours, and the proof that the bytecode has that meaning.

The text is evaluated once more, apart from the C: a filter ends the run, a `let` is a value, an aggregate changes one entry of
its table, and what the way out uses of the way in waits under the thread's id. Strings, stacks, records and fields of structs
have no meaning here yet: a program that uses one is Unknown, never Equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bpfsmith.gate.budget import TimeUp, at_most
from bpfsmith.isa.program import MapSpec
from bpfsmith.kernel.tracefs import tracepoint_fields
from bpfsmith.objfile.object import Object
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.behaviour import Behaviour, of_program
from bpfsmith.semantics.equiv import Setting, equiv
from bpfsmith.semantics.memory import Bytes, HashMap, joined
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import Term, Terms
from bpfsmith.semantics.verdict import Unknown, Verdict
from bpfsmith.trace import proof
from bpfsmith.trace.language.lower import PT_REGS, RESULT, STATE, TARGET, UNITS, Lowered, inputs, shared_names
from bpfsmith.trace.language.syntax import (
    Aggregate,
    Binary,
    Call,
    Emit,
    Expr,
    Field,
    Filter,
    If,
    Kind,
    Let,
    Name,
    Number,
    OnReturn,
    Probe,
    ProbeKind,
    Statement,
    Text,
    Unary,
)
from bpfsmith.trace.language.tables import Table

_Load = Callable[[Term], Term]
CLOCK = "bpf_ktime_get_ns"
OWN = (
    "tables are kept for each CPU and state for each thread: no other CPU comes between the accesses of a run (a thread that "
    "takes the CPU in between may: sums and counts are added in one step each, a least or greatest value may be lost)"
)
ROOM = "every table has room for every key"


BUDGET = 20
"""Seconds for each program."""


def proved(lowered: Lowered, obj: Object, limits: Limits | None = None, budget: int = BUDGET) -> dict[str, Verdict]:
    """For each program of the object whether it means what the text says, as far as that is decided within `budget` seconds."""
    out: dict[str, Verdict] = {}
    for index, probe in enumerate(lowered.file.probes):
        for name, on_exit in ((f"probe{index}_entry", False), (f"probe{index}_exit", True)):
            if any(program.name == name for program in obj.programs):
                try:
                    with at_most(budget):
                        out[name] = _proved(lowered, obj, index, probe, name, on_exit, limits)
                except TimeUp:
                    out[name] = Unknown("time-limit", f"no proof within {budget} s")
    return out


def _proved(
    lowered: Lowered, obj: Object, index: int, probe: Probe, name: str, on_exit: bool, limits: Limits | None
) -> Verdict:
    t = Terms()
    specs = {spec.name: spec for spec in obj.maps}
    try:
        side = proof.Side(obj.program(name), obj)
        candidate = of_program(t, side.relocated(), "candidate", never_full=frozenset(specs))
        reference = _Meaning(t, lowered, obj, index, probe, specs, on_exit).behaviour(name)
        return equiv(t, reference, candidate, Setting(limits))
    except Unmodelled as gap:
        return Unknown(gap.gap, gap.detail)


def _no_meaning(what: str) -> Unmodelled:
    return Unmodelled("no-meaning-yet", f"{what}: not a part of the meaning that is proved")


@dataclass(slots=True)
class _Meaning:
    """One run of one half. `on`: the condition under which the run has come so far; `draws`: how often the clock was read."""

    t: Terms
    lowered: Lowered
    obj: Object
    index: int
    probe: Probe
    specs: Mapping[str, MapSpec]
    on_exit: bool
    on: Term = field(init=False)
    draws: Term = field(init=False)
    names: dict[str, Term] = field(default_factory=dict)
    ended: list[tuple[Term, Term]] = field(default_factory=list)
    data: dict[str, Bytes] = field(default_factory=dict)
    hashes: dict[str, HashMap] = field(default_factory=dict)

    def behaviour(self, name: str) -> Behaviour:
        t = self.t
        self.on, self.draws = t.true, t.const(16, 0)
        on_return = self.probe.on_return
        shared, passes = shared_names(self.probe)
        if self.on_exit and passes:
            self._taken(shared)
        self._statements(on_return or () if self.on_exit else self.probe.entry)
        if not self.on_exit and passes and on_return is not None:
            self._left(shared)
        draws = self.draws
        for condition, count in self.ended:
            draws = t.ite(16, condition, count, draws)
        return Behaviour(
            name, t.const(32, 0), self.data, self.hashes, None, {CLOCK: draws}, self.obj.program(name).maps,
            assumptions=(ROOM,), concedes_atomicity=OWN,
        )  # fmt: skip

    # --- what waits between the halves --------------------------------------------------------------------------------
    def _left(self, shared: tuple[str, ...]) -> None:
        t, value = self.t, Bytes(lambda offset: self.t.const(8, 0))
        words = [self._name(name) for name in shared] or [t.const(64, 1)]
        for at, word in enumerate(words):
            value = value.store(t, t.const(64, 8 * at), 8, word)
        contents = self._hash(f"{STATE}{self.index}")
        self.hashes[contents.name] = contents.insert(self.on, self._thread(), value, t.const(32, 0))

    def _taken(self, shared: tuple[str, ...]) -> None:
        t, contents, key = self.t, self._hash(f"{STATE}{self.index}"), self._thread()
        found = contents.present(t, key)
        self.ended.append((t.negate(found), self.draws))
        self.on = found
        for at, name in enumerate(shared):
            self.names[name] = contents.load(t, key, t.const(64, 8 * at), 8)
        self.hashes[contents.name] = contents.delete(found, key)

    def _thread(self) -> Term:
        return self.t.extract(self.t.app("bpf_get_current_pid_tgid", 64), 64, 31, 0)

    def _hash(self, name: str) -> HashMap:
        return self.hashes.get(name) or mapmodel.initial(self.t, self.specs[name])

    # --- statements ---------------------------------------------------------------------------------------------------
    def _statements(self, body: tuple[Statement, ...]) -> None:
        for item in body:
            self._statement(item)

    def _statement(self, item: Statement) -> None:
        t = self.t
        match item:
            case Filter(condition=condition):
                held = self._truth(condition)
                self.ended.append((t.all_of(self.on, t.negate(held)), self.draws))
                self.on = t.all_of(self.on, held)
            case Let(name=name, value=value):
                self.names[name] = self._value(value)
            case If(condition=condition, then=then, other=other):
                self._branches(self._truth(condition), then, other)
            case Aggregate():
                self._aggregate(item)
            case Emit():
                raise _no_meaning("a record that is sent")
            case OnReturn():
                pass

    def _branches(self, held: Term, then: tuple[Statement, ...], other: tuple[Statement, ...]) -> None:
        t, before, draws, names = self.t, self.on, self.draws, dict(self.names)
        self.on = t.all_of(before, held)
        self._statements(then)
        after_then, draws_then = self.on, self.draws
        self.on, self.draws, self.names = t.all_of(before, t.negate(held)), draws, dict(names)
        self._statements(other)
        self.on, self.names = t.any_of(after_then, self.on), names
        self.draws = t.ite(16, held, draws_then, self.draws)

    def _aggregate(self, item: Aggregate) -> None:
        table = next(table for table in self.lowered.tables if table.name == item.name)
        value = self._value(item.value) if item.value is not None else self.t.const(64, 1)
        if any(column.kind != "number" for column in table.keys):
            raise _no_meaning("a key that is no number")
        keys = [self._value(key) for key in item.keys]
        if keys:
            self._keyed(table, keys, value)
            return
        memory = self.data.get(table.map) or Bytes(lambda offset: self.t.app(f"map:{table.map}", 8, offset))

        def load(at: Term) -> Term:
            word = memory.load(self.t, at, 8)
            assert isinstance(word, Term)
            return word

        for at, word in self._changes(table, value, load):
            memory = memory.store(self.t, at, 8, self.t.ite(64, self.on, word, load(at)))
        self.data[table.map] = memory

    def _keyed(self, table: Table, keys: list[Term], value: Term) -> None:
        t, contents = self.t, self._hash(table.map)
        key = keys[0]
        for part in keys[1:]:
            key = t.concat(part, 64, key, key.width)
        nothing = Bytes(lambda offset: t.const(8, 0))
        missing = t.all_of(self.on, t.negate(contents.present(t, key)))
        contents = contents.insert(missing, key, nothing, t.const(32, 0))
        made = contents
        for at, word in self._changes(table, value, lambda where: made.load(t, key, where, 8)):
            contents = contents.poke(self.on, key, at, 8, word)
        self.hashes[table.map] = contents

    def _changes(self, table: Table, value: Term, load: _Load) -> list[tuple[Term, Term]]:
        """The words of an entry that a value changes: where, and to what."""
        t, first, second = self.t, self.t.const(64, 0), self.t.const(64, 8)
        match table.kind:
            case Kind.COUNT | Kind.SUM:
                return [(first, t.add(64, load(first), value))]
            case Kind.MIN | Kind.MAX:
                known = load(second)
                better = t.slt(64, value, known) if table.kind is Kind.MIN else t.slt(64, known, value)
                unseen = t.eq(64, load(first), t.const(64, 0))
                return [(second, t.ite(64, t.any_of(unseen, better), value, known)), (first, t.const(64, 1))]
            case Kind.HIST | Kind.LHIST:
                slot = self._log2(value) if table.kind is Kind.HIST else self._linear(table, value)
                at = t.mul(64, slot, t.const(64, 8))
                return [(at, t.add(64, load(at), t.const(64, 1)))]

    def _log2(self, value: Term) -> Term:
        """0 below zero, 1 at zero, else 2 and the logarithm rounded down."""
        t = self.t
        slot = t.const(64, 2)
        for power in range(1, 63):
            slot = t.ite(64, t.slt(64, value, t.const(64, 1 << power)), slot, t.const(64, 2 + power))
        zero = t.eq(64, value, t.const(64, 0))
        return t.ite(64, t.slt(64, value, t.const(64, 0)), t.const(64, 0), t.ite(64, zero, t.const(64, 1), slot))

    def _linear(self, table: Table, value: Term) -> Term:
        t, low = self.t, self.t.const(64, table.low)
        inside = t.add(64, t.const(64, 1), t.udiv(64, t.sub(64, value, low), t.const(64, table.step)))
        above = t.ite(64, t.slt(64, value, t.const(64, table.high)), inside, t.const(64, table.slots - 1))
        return t.ite(64, t.slt(64, value, low), t.const(64, 0), above)

    # --- expressions --------------------------------------------------------------------------------------------------
    def _truth(self, expr: Expr) -> Term:
        return self.t.negate(self.t.eq(64, self._value(expr), self.t.const(64, 0)))

    def _bit(self, condition: Term) -> Term:
        return self.t.ite(64, condition, self.t.const(64, 1), self.t.const(64, 0))

    def _value(self, expr: Expr) -> Term:
        t = self.t
        match expr:
            case Number(value=value):
                return t.const(64, value)
            case Name(name=name):
                return self._name(name)
            case Call(function="now"):
                number, self.draws = self.draws, t.add(16, self.draws, t.const(16, 1))
                return t.app(CLOCK, 64, number)
            case Unary(operator=operator, operand=operand):
                inner, zero = self._value(operand), t.const(64, 0)
                if operator == "!":
                    return self._bit(t.eq(64, inner, zero))
                return t.sub(64, zero, inner) if operator == "-" else t.xor(64, inner, t.const(64, -1))
            case Binary(operator=operator, left=left, right=right):
                a = self._value(left)
                return self._binary(operator, a, self._value(right))
            case Call(function=function):
                raise _no_meaning(f"{function}()")
            case Field(name=name):
                raise _no_meaning(f"the field {name}")
            case Text():
                raise _no_meaning("a string")

    def _binary(self, operator: str, a: Term, b: Term) -> Term:
        t, zero = self.t, self.t.const(64, 0)
        match operator:
            case "+":
                return t.add(64, a, b)
            case "-":
                return t.sub(64, a, b)
            case "*":
                return t.mul(64, a, b)
            case "/" | "%":
                return self._divided(operator, a, b)
            case "&":
                return t.and_(64, a, b)
            case "|":
                return t.or_(64, a, b)
            case "^":
                return t.xor(64, a, b)
            case "<<":
                return t.shl(64, a, t.and_(64, b, t.const(64, 63)))
            case ">>":
                return t.ashr(64, a, t.and_(64, b, t.const(64, 63)))
            case "==":
                return self._bit(t.eq(64, a, b))
            case "!=":
                return self._bit(t.negate(t.eq(64, a, b)))
            case "<":
                return self._bit(t.slt(64, a, b))
            case ">":
                return self._bit(t.slt(64, b, a))
            case "<=":
                return self._bit(t.negate(t.slt(64, b, a)))
            case ">=":
                return self._bit(t.negate(t.slt(64, a, b)))
            case "&&":
                return self._bit(t.all_of(t.negate(t.eq(64, a, zero)), t.negate(t.eq(64, b, zero))))
            case _:
                return self._bit(t.any_of(t.negate(t.eq(64, a, zero)), t.negate(t.eq(64, b, zero))))

    def _divided(self, operator: str, a: Term, b: Term) -> Term:
        """Towards zero; by zero the quotient is 0 and the remainder the dividend."""
        t, zero = self.t, self.t.const(64, 0)
        sizes = [t.ite(64, t.slt(64, x, zero), t.sub(64, zero, x), x) for x in (a, b)]
        by_zero = t.eq(64, b, zero)
        if operator == "/":
            size = t.ite(64, by_zero, zero, t.udiv(64, *sizes))
            return t.ite(64, t.slt(64, t.xor(64, a, b), zero), t.sub(64, zero, size), size)
        size = t.ite(64, by_zero, sizes[0], t.urem(64, *sizes))
        return t.ite(64, t.slt(64, a, zero), t.sub(64, zero, size), size)

    def _name(self, name: str) -> Term:
        t, both = self.t, self.t.app("bpf_get_current_pid_tgid", 64)
        users = t.app("bpf_get_current_uid_gid", 64)
        if name in self.names:
            return self.names[name]
        if name in UNITS:
            return t.const(64, UNITS[name])
        match name:
            case "pid":
                return t.zext(t.extract(both, 64, 63, 32), 32, 64)
            case "tid":
                return t.zext(t.extract(both, 64, 31, 0), 32, 64)
            case "uid":
                return t.zext(t.extract(users, 64, 31, 0), 32, 64)
            case "gid":
                return t.zext(t.extract(users, 64, 63, 32), 32, 64)
            case "cpu":
                return t.zext(t.app("bpf_get_smp_processor_id", 32), 32, 64)
            case "cgroup":
                return t.app("bpf_get_current_cgroup_id", 64)
            case "$target":
                at = self.obj.variable(TARGET).offset
                return t.zext(joined(t, [t.app(f"map:{proof.RODATA}", 8, t.const(64, at + i)) for i in range(4)]), 32, 64)
            case "ret":
                return self._context({ProbeKind.SYSCALL: 16}.get(self.probe.kind, 8 * RESULT), 8)
            case "kstack" | "ustack" | "comm":
                raise _no_meaning(name)
            case _:
                return self._argument(name)

    def _argument(self, name: str) -> Term:
        at = inputs(self.probe)[name]
        match self.probe.kind:
            case ProbeKind.UPROBE | ProbeKind.KPROBE:
                return self._context(8 * PT_REGS[at], 8)
            case ProbeKind.SYSCALL:
                return self._context(16 + 8 * at, 8)
            case ProbeKind.TRACEPOINT:
                offset, size, signed = tracepoint_fields(f"{self.probe.path}/{self.probe.target}")[name]
                word = self._context(offset, size)
                return (self.t.sext if signed else self.t.zext)(word, 8 * size, 64) if size < 8 else word
            case _:
                return self._context(8 * at, 8)

    def _context(self, at: int, size: int) -> Term:
        return joined(self.t, [self.t.app("ctx", 8, self.t.const(64, at + i)) for i in range(size)])
