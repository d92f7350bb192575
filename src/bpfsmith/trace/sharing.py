"""The programs that use the map of a session's pair: what holds of them together, so that its state can be a call's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bpfsmith.objfile.object import Object
from bpfsmith.semantics.behaviour import Behaviour
from bpfsmith.semantics.equiv import Setting, equiv
from bpfsmith.semantics.memory import Bytes
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.terms import Term, Terms, postorder
from bpfsmith.semantics.verdict import Verdict
from bpfsmith.trace.pairs import Found
from bpfsmith.trace.relation import (
    RODATA,
    Entry,
    Side,
    State,
    as_memory,
    before_and_after,
    behaviour,
    holding,
    only_touches,
    with_state,
)
from bpfsmith.trace.specialise import NOTHING_KNOWN, Known

BESIDE = (
    "{names} use the map for themselves, and do not run inside a call: there the original loses the call's entry to them, and "
    "the session keeps it"
)
THREAD_CONSTANT = frozenset({"bpf_get_current_pid_tgid", "bpf_get_current_task", "bpf_get_current_task_btf", f"map:{RODATA}"})
"""What is the same in all runs of a thread: its ids, and what was configured."""


@dataclass(slots=True)
class Users:
    """All programs that use the map of a session: entry and exit of each pair over it, and `others` that belong to none. What
    is to be known of them together is found out once."""

    state: State
    pairs: tuple[tuple[Side, Side], ...]
    others: tuple[Side, ...] = ()
    _known: tuple[bool, bool] | None = None

    def linger_and_leave(self) -> tuple[bool, bool]:
        """May an entry outlive its call without harm, and does any exit leave the one that it found?

        Without harm where it depends on the thread alone whether a call stores, and is the same for every pair: a thread whose
        calls are passed over never has an entry, and in the others each call overwrites it.
        """
        if self._known is None:
            t = Terms()
            when = {stores(t, entry, self.state) for entry, _ in self.pairs}
            alike = len(when) == 1 and t.false not in when and not self.others
            lingers = alike and all(node.name in THREAD_CONSTANT for node in postorder(*when) if node.op == "app")
            self._known = lingers, any(_leaves(exit_, self.state) for _, exit_ in self.pairs)
        return self._known


def users_of(found: Found, obj: Object, map_name: str, known: Known = NOTHING_KNOWN) -> Users:
    """The programs of an object that use a map."""
    over = [(pair, item) for pair in found.pairs for item in pair.maps if item.spec.name == map_name]
    inside = {half.program.name for pair, _ in over for half in (pair.entry, pair.exit)}
    beside = [half for half in found.halves.values() if half.of(map_name) and half.program.name not in inside]
    return Users(
        State(over[0][1].spec, over[0][1].key_class),
        tuple((Side(pair.entry.program, obj, known), Side(pair.exit.program, obj, known)) for pair, _ in over),
        tuple(Side(half.program, obj, known) for half in beside),
    )


def stores(t: Terms, entry: Side, state: State) -> Term:
    """When a run of the entry leaves something, whatever was there before: never, where that cannot be told."""
    first = behaviour(t, entry, "stores", state.spec.name)
    start, end = before_and_after(t, first, state.spec)
    before, after = (contents.present(t, state.key(t)) for contents in (start, end))
    if after.op == "disj" and before in after.args:
        after = t.any_of(*(item for item in after.args if item is not before))
    return t.false if before in postorder(after) else after


def _leaves(exit_: Side, state: State) -> bool:
    """May the exit leave the entry that it found?"""
    t = Terms()
    start = holding(t, state.spec, state.key(t), t.true, Bytes(lambda at: t.app("cookie", 8, at)))
    end = before_and_after(t, behaviour(t, exit_, "reference", state.spec.name, None, start), state.spec, start)[1]
    return end.present(t, state.key(t)) is not t.false


def leaves_nothing(other: Side, state: State, limits: Limits | None) -> Verdict:
    """A program that is no half of a pair, from no entry: there is none afterwards."""
    t = Terms()
    key, said = state.key(t), (BESIDE.format(names=other.program.name),)
    start = holding(t, state.spec, key, t.false, Bytes(lambda at: t.const(8, 0)))
    run = behaviour(t, other, "reference", state.spec.name, None, start)
    end = before_and_after(t, run, state.spec, start)[1]
    only_touches(end, key, other.program.name)
    left = as_memory(t, Entry(end.present(t, key), ()))
    idle = Behaviour("nothing", t.const(32, 0), {}, {}, None, {}, run.maps)
    reference = with_state(idle, state.spec.name, left, t.const(32, 0), [], said)
    reference = replace(reference, preconditions=(*reference.preconditions, *run.preconditions))
    gone = with_state(idle, state.spec.name, as_memory(t, Entry(t.false, ())), t.const(32, 0), [], ())
    return equiv(t, reference, gone, Setting(limits))
