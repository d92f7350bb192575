"""What a probe program means, as behaviours, and the proof that the bytecode has that meaning.

The text is evaluated once more, apart from the C: a filter ends the run, a `let` is a value, an aggregate changes one entry of
its table, `emit` sends one record, and what the way out uses of the way in waits under the thread's id or the object's. Strings
and stacks are what the kernel answers when it is asked (`calls`). What has no meaning here is Unknown, never Equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bpfsmith.gate.budget import TimeUp, at_most
from bpfsmith.isa.program import MapSpec
from bpfsmith.objfile.object import Object
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.behaviour import Behaviour, of_program
from bpfsmith.semantics.equiv import Setting, equiv
from bpfsmith.semantics.memory import Bytes, HashMap, joined
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import Term, Terms
from bpfsmith.semantics.verdict import Unknown, Verdict
from bpfsmith.trace.language.body import EVENTS
from bpfsmith.trace.language.calls import Calls
from bpfsmith.trace.language.lower import STATE, Lowered, shared_names, way_out
from bpfsmith.trace.language.syntax import Aggregate, Emit, Filter, If, Kind, Let, OnEvent, OnReturn, Statement
from bpfsmith.trace.language.tables import Column, Table, layout
from bpfsmith.trace.language.values import Run, Unread, Worth
from bpfsmith.trace.relation import Side

_Load = Callable[[Term], Term]
OWN = (
    "tables are kept for each CPU and state for each thread: no other CPU comes between the accesses of a run (a thread that "
    "takes the CPU in between may: sums and counts are added in one step each, a least or greatest value may be lost)"
)
ROOM = "every table has room for every key"


BUDGET = 20
"""Seconds of CPU time for each program."""


def proved(lowered: Lowered, obj: Object, limits: Limits | None = None, budget: int = BUDGET) -> dict[str, Verdict]:
    """For each program of the object whether it means the text, as far as that is decided within `budget` s of CPU."""
    out: dict[str, Verdict] = {}
    for index in range(len(lowered.file.probes)):
        for name, on_exit in ((f"probe{index}_entry", False), (f"probe{index}_exit", True)):
            if any(program.name == name for program in obj.programs):
                try:
                    with at_most(budget):
                        out[name] = _proved(lowered, obj, index, name, on_exit, limits)
                except TimeUp:
                    out[name] = Unknown("time-limit", f"no proof within {budget} s of CPU time")
    return out


def _proved(lowered: Lowered, obj: Object, index: int, name: str, on_exit: bool, limits: Limits | None) -> Verdict:
    t = Terms()
    specs = {spec.name: spec for spec in obj.maps}
    try:
        side = Side(obj.program(name), obj)
        candidate = of_program(t, side.relocated(), "candidate", never_full=frozenset(specs))
        reference = _Meaning(t, lowered, obj, index, specs).behaviour(name, on_exit=on_exit)
        return equiv(t, reference, candidate, Setting(limits))
    except Unmodelled as gap:
        return Unknown(gap.gap, gap.detail)


class _Meaning(Run):
    """One run of one half of a probe."""

    def __init__(self, t: Terms, lowered: Lowered, obj: Object, index: int, specs: Mapping[str, MapSpec]) -> None:
        super().__init__(t, obj, lowered.file.probes[index], t.true, Calls(t))
        self.lowered, self.index, self.probe, self.specs = lowered, index, self.place, specs
        self.ended: list[tuple[Term, dict[str, Term]]] = []
        self.data: dict[str, Bytes] = {}
        self.hashes: dict[str, HashMap] = {}

    def behaviour(self, name: str, *, on_exit: bool) -> Behaviour:
        t = self.t
        shared, passes = shared_names(self.probe)
        out = way_out(self.probe)
        if not on_exit:
            self._statements(self.probe.entry)
            if passes and out is not None:
                self._left(shared, out.event)
        elif out is not None:
            self.place = out.place
            self._statements(out.first)
            if passes:
                self._taken(shared, out.event)
            self._statements(out.body)
        counts = self.calls.counts
        for condition, known in self.ended:
            counts = self.calls.either(condition, known, counts)
        return Behaviour(
            name, t.const(32, 0), self.data, self.hashes, None,
            {helper: count for helper, count in counts.items() if helper.startswith("bpf_")}, self.obj.program(name).maps,
            recorded=self.calls.records, assumptions=(ROOM,), concedes_atomicity=OWN,
        )  # fmt: skip

    def _ends(self, condition: Term) -> None:
        self.ended.append((self.t.all_of(self.on, condition), dict(self.calls.counts)))
        self.on = self.t.all_of(self.on, self.t.negate(condition))

    # --- what waits between the halves --------------------------------------------------------------------------------
    def _left(self, shared: tuple[str, ...], event: OnEvent | None) -> None:
        t, value = self.t, Bytes(lambda offset: self.t.const(8, 0))
        words = [self.name(name).term for name in shared] or [t.const(64, 1)]
        for at, word in enumerate(words):
            value = value.store(t, t.const(64, 8 * at), 8, word)
        key = self._thread() if event is None else self.value(event.entry_key)
        contents = self._hash(f"{STATE}{self.index}")
        self.hashes[contents.name] = contents.insert(self.on, key, value, t.const(32, 0))

    def _taken(self, shared: tuple[str, ...], event: OnEvent | None) -> None:
        t, contents = self.t, self._hash(f"{STATE}{self.index}")
        key = self._thread() if event is None else self.value(event.key)
        found = contents.present(t, key)
        self._ends(t.negate(found))
        types = self._types(shared)
        for at, name in enumerate(shared):
            self.names[name] = Worth(contents.load(t, key, t.const(64, 8 * at), 8), types.get(name), True)
        self.hashes[contents.name] = contents.delete(self.on, key)

    def _types(self, shared: tuple[str, ...]) -> dict[str, int | None]:
        """The types of what the way in left: those of its arguments, and of the names that stand for them or their fields."""
        before = _Meaning(Terms(), self.lowered, self.obj, self.index, self.specs)
        before.behaviour(f"probe{self.index}_entry", on_exit=False)
        return {name: before.name(name).type_id for name in shared}

    def _thread(self) -> Term:
        return self.t.extract(self.t.app("bpf_get_current_pid_tgid", 64), 64, 31, 0)

    def _hash(self, name: str) -> HashMap:
        return self.hashes.get(name) or mapmodel.initial(self.t, self.specs[name])

    # --- statements ---------------------------------------------------------------------------------------------------
    def _statements(self, body: tuple[Statement, ...]) -> None:
        for item in body:
            self._statement(item)

    def _statement(self, item: Statement) -> None:
        match item:
            case Filter(condition=condition):
                self._ends(self.t.negate(self.truth(condition)))
            case Let(name=name, value=value):
                self.names[name] = self.number(value)
            case If(condition=condition, then=then, other=other):
                self._branches(self.truth(condition), then, other)
            case Aggregate():
                self._aggregate(item)
            case Emit():
                self._emit(item)
            case OnReturn() | OnEvent():
                pass

    def _branches(self, held: Term, then: tuple[Statement, ...], other: tuple[Statement, ...]) -> None:
        t, before, counts, names = self.t, self.on, dict(self.calls.counts), dict(self.names)
        self.on = t.all_of(before, held)
        self._statements(then)
        after_then, counts_then = self.on, self.calls.counts
        self.on, self.calls.counts, self.names = t.all_of(before, t.negate(held)), counts, dict(names)
        self._statements(other)
        self.on, self.names = t.any_of(after_then, self.on), names
        self.calls.counts = self.calls.either(held, counts_then, self.calls.counts)

    def _emit(self, item: Emit) -> None:
        record = next(record for record in self.lowered.records if record.span == item.span)
        cells = [self.cell(value) for _, value in item.fields]
        _, size = layout(record.columns, 8)
        memory = self._filled(record.columns, cells, 8)
        self.calls.sent(self.on, EVENTS, memory.store(self.t, self.t.const(64, 0), 8, self.t.const(64, record.number)), size)

    def _filled(self, columns: tuple[Column, ...], cells: Sequence[Worth | Unread], start: int = 0) -> Bytes:
        """A key or a record: its numbers, then its strings, which are read only now; zeros between them."""
        t, memory = self.t, Bytes(lambda offset: self.t.const(8, 0))
        places, _ = layout(columns, start)
        for at, cell in zip(places, cells, strict=True):
            if isinstance(cell, Worth):
                memory = memory.store(t, t.const(64, at), 8, cell.term)
                continue
            for index, byte in enumerate(self.read(cell)):
                memory = memory.store(t, t.const(64, at + index), 1, byte)
        return memory

    def _aggregate(self, item: Aggregate) -> None:
        table = next(table for table in self.lowered.tables if table.name == item.name)
        value = self.value(item.value) if item.value is not None else self.t.const(64, 1)
        if item.keys:
            _, size = layout(table.keys)
            held = self._filled(table.keys, [self.cell(key) for key in item.keys])
            parts = [held.load(self.t, self.t.const(64, at), 1) for at in range(size)]
            self._keyed(table, joined(self.t, [part for part in parts if isinstance(part, Term)]), value)
            return
        memory = self.data.get(table.map) or Bytes(lambda offset: self.t.app(f"map:{table.map}", 8, offset))

        def load(at: Term) -> Term:
            word = memory.load(self.t, at, 8)
            assert isinstance(word, Term)
            return word

        for at, word in self._changes(table, value, load):
            memory = memory.store(self.t, at, 8, self.t.ite(64, self.on, word, load(at)))
        self.data[table.map] = memory

    def _keyed(self, table: Table, key: Term, value: Term) -> None:
        t, contents = self.t, self._hash(table.map)
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
