"""Is a fused pair the pair that it was made of? Proved run by run, under a relation between the two kinds of state.

The engine compares one run with one run. What a pair means lies in two, with any number of other threads' runs between them. So
the state is related: a thread's entry in the original's map is there exactly where the fused form's state of that thread is
armed, and holds the same bytes. Each run of either program, started in related states,

    leaves everything else the same: other maps, what is sent to userspace, the calls of helpers
    touches the entry of the thread it runs on and no other
    ends in related states

and by induction so does any interleaving of runs of any threads, from the empty state on. For a session the state belongs to a
call of the function, and the entry must say by its result whether the exit is to run; an exit that is left out must be one that
has nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bpfsmith.gate.budget import TimeUp, at_most
from bpfsmith.isa.program import MapSpec
from bpfsmith.objfile.core_relo import Ambiguous
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.behaviour import Behaviour
from bpfsmith.semantics.equiv import Setting, equiv
from bpfsmith.semantics.memory import Bytes, HashMap, Value
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import Term, Terms, postorder
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.trace.relation import (
    CONFIGURED,
    OWN_STATE,
    Entry,
    Side,
    State,
    as_memory,
    before_and_after,
    behaviour,
    chunks,
    entry_of,
    holding,
    is_not_zero,
    only_touches,
    renamed,
    with_state,
)
from bpfsmith.trace.rewriting import Mark, Storage
from bpfsmith.trace.sharing import THREAD_CONSTANT, Users, leaves_nothing, stores

LEFT_BEHIND, ARMED = "state that the exit leaves behind", "armed word"
_HARMLESS = (
    "bpf_ktime_get", "bpf_probe_read", "bpf_get_prandom_u32", "bpf_jiffies64", "bpf_get_current_comm",
    "bpf_current_task_under_cgroup",
)  # fmt: skip
"""Calls that change nothing but the program's own memory: an exit that is left out may have made them."""
ROOM = "the map has room for every thread, and there is memory for every thread's storage"
OWN_KEY = (
    "every thread has an id of its own that it keeps: not so for idle tasks (id 0), across execve by a thread that is not the "
    "first, and when the id of a thread that died in between is given to another"
)
NO_RECURSION = (
    "a thread is in one call at a time of the functions whose pairs share the map: where a call holds another, the original "
    "keeps one entry for both and loses calls, and the session keeps one for each"
)
STALE = (
    "where a call is passed over by the entry, its exit finds nothing: the original's exit leaves the entry of an earlier call "
    "behind, and then counts the later call with the earlier one's state"
)
EXITS = "every call that returns runs its return probe"
RESULT_UNUSED = "nobody looks at what a probe returns, as is so for programs attached by a link"
SESSION = (ROOM, OWN_KEY, NO_RECURSION, EXITS, RESULT_UNUSED)
NOT_ZERO = "what the entry keeps is never 0: that stands for a call that it has passed over"
OBJECTS = (
    "the map has room for every object, and there is memory for every object's storage",
    "arguments that lead to objects are not NULL",
    "an object that goes away takes its state along: the original keeps its entry, for a later object at the same address",
)
REREAD = (
    ROOM,
    NO_RECURSION,
    "every call that is entered returns, and runs its return probe; one that had begun before the program was attached is "
    "counted when it returns, which the original does not do",
    "a thread keeps its ids, and a call its arguments as they were passed, until it returns",
    RESULT_UNUSED,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One of the comparisons that make up a proof."""

    name: str
    verdict: Verdict


def task_storage(
    reference: Side, candidate: Side, state: State, storage: Storage, limits: Limits | None = None, also: Moved = ()
) -> Step:
    """One program of a pair whose state moved from a hash to storage of the running task, or of the object that is its key;
    `also` are other maps of the program that moved."""
    name = f"{candidate.program.name}: each run"
    return Step(name, _guarded(lambda: _task_storage(reference, candidate, state, storage, None, limits, also=also)))


def session(
    users: Users, entry: Side, exit_: Side, fused: Side, storage: Storage | None, limits: Limits | None = None,
    *, early_out: bool = True,
) -> tuple[Step, ...]:  # fmt: skip
    """An entry and an exit against the one program that stands for both; `storage` None: the state is in the cookie. Without
    `early_out` the exit runs for every call, and a cookie of 0 says that the entry has left nothing."""
    beside = tuple(
        Step(f"{other.program.name}: it leaves nothing", _guarded(partial(leaves_nothing, other, users.state, limits)))
        for other in users.others
    )
    return (*beside, *_session(users, entry, exit_, fused, storage, limits, early_out))


def _session(
    users: Users, entry: Side, exit_: Side, fused: Side, storage: Storage | None, limits: Limits | None, early_out: bool
) -> tuple[Step, ...]:
    state = users.state
    name = fused.program.name
    if not early_out:
        if storage is not None:
            return (
                Step(f"{name}: on the way in", _guarded(lambda: _both_run(entry, fused, state, storage, False, limits))),
                Step(f"{name}: on the way out", _guarded(lambda: _both_run(exit_, fused, state, storage, True, limits))),
            )
        return (
            Step(f"{name}: on the way in", _guarded(lambda: _cookie_in(entry, fused, state, limits))),
            Step(f"{name}: on the way out", _guarded(lambda: _cookie_out(exit_, fused, state, limits))),
        )
    try:
        with at_most(BUDGET * len(users.pairs)):
            lingers, leaves = users.linger_and_leave()
    except Unmodelled as gap:
        return (Step(f"{name}: on the way in", Unknown(gap.gap, gap.detail)),)
    except Ambiguous as reason:
        return (Step(f"{name}: on the way in", Unknown("ambiguous-core-relocation", str(reason))),)
    except TimeUp:
        return (Step(f"{name}: what the exit leaves behind", Unknown("time-limit", f"not known within {BUDGET} s")),)
    if leaves and not lingers:
        stale = Step(f"{name}: what the exit leaves behind", Equal((STALE,)))
        return (stale, *_session_steps(entry, exit_, fused, state, storage, lingers, False, limits))
    return _session_steps(entry, exit_, fused, state, storage, lingers, not lingers, limits)


def _session_steps(
    entry: Side,
    exit_: Side,
    fused: Side,
    state: State,
    storage: Storage | None,
    lingers: bool,
    must_go: bool,
    limits: Limits | None,
) -> tuple[Step, ...]:
    name = fused.program.name
    return (
        Step(f"{name}: on the way in", _guarded(lambda: _way_in(entry, fused, state, storage, lingers, limits))),
        Step(f"{name}: on the way out", _guarded(lambda: _way_out(entry, exit_, fused, state, storage, must_go, limits))),
        Step(f"{name}: a way out that is left out", _guarded(lambda: _left_out(exit_, state, limits))),
    )


def same_run(reference: Side, candidate: Side, spec: MapSpec, limits: Limits | None = None) -> Step:
    """One half of a pair against a program that keeps its state in the same map."""

    def ask() -> Verdict:
        t = Terms()
        sides = (reference, "reference"), (candidate, "candidate")
        first, second = (behaviour(t, side, label, spec.name) for side, label in sides)
        return equiv(t, first, replace(second, assumptions=(*second.assumptions, CONFIGURED)), Setting(limits))

    return Step(f"{candidate.program.name}: each run", _guarded(ask))


def reread(entry: Side, exit_: Side, both: Side, state: State, limits: Limits | None = None) -> tuple[Step, ...]:
    """An entry and an exit against the one program at the way out that does what both did."""
    return (
        Step(f"{both.program.name}: entry and exit in one run", _guarded(lambda: _reread(entry, exit_, both, state, limits))),
    )


def summary(steps: Iterable[Step]) -> Verdict:
    """Equal where every step is; else the first that is not."""
    known = list(steps)
    for step in known:
        match step.verdict:
            case Equal():
                continue
            case Unknown(gap=gap, detail=detail):
                return Unknown(gap, f"{step.name}: {detail}")
            case Different():
                return step.verdict
    equal = [step.verdict for step in known if isinstance(step.verdict, Equal)]
    return Equal(
        tuple(dict.fromkeys(text for item in equal for text in item.assumptions)),
        tuple(f"{step.name}: {len(step.verdict.evidence)} observables" for step in known if isinstance(step.verdict, Equal)),
    )


BUDGET = 60
"""Seconds of CPU time for each comparison."""


def _guarded(work: Callable[[], Verdict]) -> Verdict:
    try:
        with at_most(BUDGET):
            return work()
    except TimeUp:
        return Unknown("time-limit", f"no proof within {BUDGET} s of CPU time")
    except Unmodelled as gap:
        return Unknown(gap.gap, gap.detail)
    except Ambiguous as reason:
        return Unknown("ambiguous-core-relocation", str(reason))


# --- task storage -----------------------------------------------------------------------------------------------------
def _storage_spec(state: State, storage: Storage) -> MapSpec:
    return MapSpec(f"{state.spec.name} of the {storage.of}", storage.map_type, mapmodel.ADDRESS_BYTES, storage.total_bytes, 0)


@dataclass(frozen=True, slots=True)
class _Move:
    """A map whose entries became storage of their owners, and what both hold before a run: the same, where it is armed."""

    state: State
    storage: Storage
    spec: MapSpec
    key: Term
    owner: Term
    start: HashMap
    start_there: HashMap

    @property
    def name(self) -> str:
        return self.state.spec.name


def _move(t: Terms, state: State, storage: Storage) -> _Move:
    spec, owner, key = _storage_spec(state, storage), state.owner(t), state.key(t)
    there, armed = t.app(f"map:{spec.name}.present", 0, owner), t.app(f"map:{spec.name}.armed", 0, owner)

    def value(at: Term) -> Term:
        return t.app(f"map:{spec.name}.value", 8, owner, at)

    def value_there(at: Term) -> Term:
        return value(t.sub(64, at, t.const(64, storage.value_at)) if storage.value_at else at)

    bits = 8 * storage.armed_bytes
    word: dict[int, tuple[int, Value]] = {}
    match storage.mark:
        case Mark.WORD:
            word = {storage.armed_at: (storage.armed_bytes, t.ite(bits, armed, t.const(bits, 1), t.const(bits, 0)))}
        case Mark.NOT_ZERO:
            armed = is_not_zero(t, loaded(t, Bytes(value), state.spec.value_size))
        case Mark.PRESENT:
            armed = t.true
    start = holding(t, state.spec, key, t.all_of(there, armed), Bytes(value))
    return _Move(state, storage, spec, key, owner, start, holding(t, spec, owner, there, Bytes(value_there, word)))


def loaded(t: Terms, memory: Bytes, size: int) -> Term:
    """The number that memory begins with."""
    value = memory.load(t, t.const(64, 0), size)
    assert isinstance(value, Term)
    return value


Moved = Sequence[tuple[State, Storage]]


def _task_storage(
    reference: Side, candidate: Side, state: State, storage: Storage, on_return: bool | None, limits: Limits | None,
    more: Callable[[Terms, Entry, Entry], tuple[list[Term], Term | None]] | None = None, must_go: bool = False,
    also: Moved = (),
) -> Verdict:  # fmt: skip
    """One run against one run; `more` gives further preconditions and the result that is wanted of the candidate, from what the
    original's entry was before and after. `must_go`: the original's entry has to be gone afterwards. `also` are other maps that
    became storage."""
    t = Terms()
    moves = [_move(t, *item) for item in ((state, storage), *also)]
    first_move, moved_side = moves[0], candidate
    for move in moves:
        moved_side = renamed(moved_side, move.storage.map, move.spec.name)
    others = [{move.name: move.start for move in moves[1:]}, {move.spec.name: move.start_there for move in moves[1:]}]
    first = behaviour(t, reference, "reference", state.spec.name, None, first_move.start, others[0])
    second = behaviour(t, moved_side, "candidate", first_move.spec.name, on_return, first_move.start_there, others[1])
    of_object = state.argument is not None
    given: list[Term] = [t.negate(t.eq(64, first_move.owner, t.const(64, 0)))] if of_object else []
    wanted: Term | None = first.return_value
    said: tuple[str, ...] = OBJECTS if of_object else (ROOM, OWN_KEY)
    before, after = (
        entry_of(t, contents, first_move.key, state.spec.value_size)
        for contents in before_and_after(t, first, state.spec, first_move.start)
    )
    if more is not None:
        extra, wanted = more(t, before, after)
        given += extra
        said = SESSION
    if storage.mark is Mark.NOT_ZERO:
        given.append(t.any_of(t.negate(after.present), is_not_zero(t, after.value[0])))
        said = (*said, NOT_ZERO)
    nothing = t.const(32, 0)
    results = (wanted, second.return_value) if wanted is not None else (nothing, nothing)
    left, right = replace(first, return_value=results[0]), replace(second, return_value=results[1])
    for move in moves:
        left, right = _moved(t, move, left, right, (reference, candidate))
    left = replace(left, preconditions=(*left.preconditions, *given), assumptions=(*left.assumptions, *said, CONFIGURED))
    if must_go:
        gone = Bytes(lambda offset: t.const(8, 0))
        left = replace(left, data={**left.data, LEFT_BEHIND: as_memory(t, replace(after, value=()))})
        right = replace(right, data={**right.data, LEFT_BEHIND: gone})
    return equiv(t, left, right, Setting(limits))


def _moved(t: Terms, move: _Move, left: Behaviour, right: Behaviour, sides: tuple[Side, Side]) -> tuple[Behaviour, Behaviour]:
    """Both with the owner's entry as something that is compared of its own, in the place of the map and of the storage."""
    ours = before_and_after(t, left, move.state.spec, move.start)[1]
    theirs = before_and_after(t, right, move.spec, move.start_there)[1]
    only_touches(ours, move.key, sides[0].program.name)
    only_touches(theirs, move.owner, sides[1].program.name)
    size = move.state.spec.value_size
    after, there = entry_of(t, ours, move.key, size), entry_of(t, theirs, move.owner, size, move.storage)
    strange = t.false
    if move.storage.mark is Mark.WORD:  # it is 0 or 1 before, which has to be so afterwards
        bits = 8 * move.storage.armed_bytes
        last = theirs.load(t, move.owner, t.const(64, move.storage.armed_at), move.storage.armed_bytes)
        strange = t.all_of(theirs.present(t, move.owner), t.ult(bits, t.const(bits, 1), last))
    armed, kept = f"{ARMED} of {move.name}", f"{OWN_STATE} in {move.name}"
    left = with_state(left, move.name, as_memory(t, after), left.return_value, [], (), kept)
    right = with_state(right, move.spec.name, as_memory(t, there), right.return_value, [], (), kept)
    return (
        replace(left, data={**left.data, armed: as_memory(t, Entry(t.false, ()))}),
        replace(right, data={**right.data, armed: as_memory(t, Entry(strange, ()))}),
    )


# --- sessions ---------------------------------------------------------------------------------------------------------
def _before_entry(t: Terms, entry: Side, state: State, before: Entry, lingers: bool) -> Term:
    """What is known of a thread's entry when the function is called: it is gone, or it is one that is overwritten."""
    absent = t.negate(before.present)
    return t.any_of(absent, stores(t, entry, state)) if lingers else absent


def _way_in(entry: Side, fused: Side, state: State, storage: Storage | None, lingers: bool, limits: Limits | None) -> Verdict:
    def more(t: Terms, before: Entry, after: Entry) -> tuple[list[Term], Term]:
        return [_before_entry(t, entry, state, before, lingers)], t.ite(32, after.present, t.const(32, 0), t.const(32, 1))

    if storage is not None:
        return _task_storage(entry, fused, state, storage, False, limits, more)
    t = Terms()
    key, size = state.key(t), state.spec.value_size
    start = None if lingers else holding(t, state.spec, key, t.false, Bytes(lambda at: t.const(8, 0)))
    first = behaviour(t, entry, "reference", state.spec.name, None, start)
    second = behaviour(t, fused, "candidate", "", False)
    contents = before_and_after(t, first, state.spec, start)
    only_touches(contents[1], key, entry.program.name)
    before, after = (entry_of(t, item, key, size) for item in contents)
    given, wanted = more(t, before, after)
    runs = t.eq(32, second.return_value, t.const(32, 0))
    there = Entry(runs, _cookie(t, second.cookie, size))
    left = with_state(first, state.spec.name, as_memory(t, after), wanted, given, SESSION)
    return equiv(t, left, with_state(second, "", as_memory(t, there), second.return_value, [], ()), Setting(limits))


def _cookie(t: Terms, memory: Bytes | None, size: int) -> tuple[Term, ...]:
    known = memory or Bytes(lambda offset: t.app("cookie", 8, offset))
    loaded = [known.load(t, t.const(64, at), n) for at, n in chunks(size)]
    if not all(isinstance(item, Term) for item in loaded):
        raise Unmodelled("leaked-pointer", "a pointer is kept in the session's cookie")
    return tuple(item for item in loaded if isinstance(item, Term))


def _passed(t: Terms, entry: Side, exit_: Side, state: State) -> list[Term]:
    """What the way in has made sure of, as far as it is the same in all runs of the thread: the way out need not ask again.
    Only where both read the same constants: preconditions are dear."""
    if not exit_.known and not entry.constants() & exit_.constants():
        return []
    when = stores(t, entry, state)
    parts = when.args if when.op == "conj" else (when,)
    return [p for p in parts if p is not t.false and all(n.name in THREAD_CONSTANT for n in postorder(p) if n.op == "app")]


def _way_out(
    entry: Side, exit_: Side, fused: Side, state: State, storage: Storage | None, must_go: bool, limits: Limits | None
) -> Verdict:
    if storage is not None:
        return _task_storage(
            exit_,
            fused,
            state,
            storage,
            True,
            limits,
            lambda t, before, after: ([before.present, *_passed(t, entry, exit_, state)], None),
            must_go=must_go,
        )
    t = Terms()
    key, size = state.key(t), state.spec.value_size
    start = holding(t, state.spec, key, t.true, Bytes(lambda at: t.app("cookie", 8, at)))
    first = behaviour(t, exit_, "reference", state.spec.name, None, start)
    second = behaviour(t, fused, "candidate", "", True)
    end = before_and_after(t, first, state.spec, start)[1]
    only_touches(end, key, exit_.program.name)
    after = entry_of(t, end, key, size)
    nothing, gone = t.const(32, 0), Bytes(lambda offset: t.const(8, 0))
    kept = gone if not must_go else as_memory(t, replace(after, value=()))
    left = with_state(first, state.spec.name, kept, nothing, _passed(t, entry, exit_, state), SESSION)
    return equiv(t, left, with_state(second, "", gone, nothing, [], ()), Setting(limits))


def _left_out(exit_: Side, state: State, limits: Limits | None) -> Verdict:
    """The exit of a call whose entry left nothing, against a program that does nothing."""
    t = Terms()
    key, size = state.key(t), state.spec.value_size
    start = holding(t, state.spec, key, t.false, Bytes(lambda at: t.const(8, 0)))
    first = behaviour(t, exit_, "reference", state.spec.name, None, start)
    end = before_and_after(t, first, state.spec, start)[1]
    only_touches(end, key, exit_.program.name)
    after = entry_of(t, end, key, size)
    nothing = t.const(32, 0)
    first = replace(
        first,
        calls={name: count for name, count in first.calls.items() if not name.startswith(_HARMLESS)},
        recorded={name: given for name, given in first.recorded.items() if not name.startswith(_HARMLESS)},
    )
    left = with_state(first, state.spec.name, as_memory(t, after), nothing, [], (RESULT_UNUSED,))
    idle = Behaviour("nothing", nothing, {}, {}, None, {}, first.maps)
    right = with_state(idle, state.spec.name, as_memory(t, Entry(t.false, after.value)), nothing, [], ())
    return equiv(t, left, right, Setting(limits))


# --- sessions without an early-out ------------------------------------------------------------------------------------
def _both_run(side: Side, fused: Side, state: State, storage: Storage, on_return: bool, limits: Limits | None) -> Verdict:
    """Either way of a session in storage, from any related states."""

    def more(t: Terms, before: Entry, after: Entry) -> tuple[list[Term], Term | None]:
        return [], t.const(32, 0)

    return _task_storage(side, fused, state, storage, on_return, limits, more)


def _cookie_in(entry: Side, fused: Side, state: State, limits: Limits | None) -> Verdict:
    """From no entry and a cookie of 0: it is then what the entry leaves, which is not 0, or still 0 where that is nothing."""
    t = Terms()
    key, size = state.key(t), state.spec.value_size
    start = holding(t, state.spec, key, t.false, Bytes(lambda at: t.const(8, 0)))
    first = behaviour(t, entry, "reference", state.spec.name, None, start)
    second = behaviour(t, fused, "candidate", "", False)
    end = before_and_after(t, first, state.spec, start)[1]
    only_touches(end, key, entry.program.name)
    after, (kept,) = entry_of(t, end, key, size), _cookie(t, second.cookie, size)
    (fresh,), zero = _cookie(t, None, size), t.const(8 * size, 0)
    given = [t.eq(8 * size, fresh, zero), t.any_of(t.negate(after.present), t.negate(t.eq(8 * size, after.value[0], zero)))]
    there = Entry(t.negate(t.eq(8 * size, kept, zero)), (kept,))
    left = with_state(first, state.spec.name, as_memory(t, after), t.const(32, 0), given, (*SESSION, NOT_ZERO))
    return equiv(t, left, with_state(second, "", as_memory(t, there), second.return_value, [], ()), Setting(limits))


def _cookie_out(exit_: Side, fused: Side, state: State, limits: Limits | None) -> Verdict:
    """From an entry that is there where the cookie is not 0; nothing may be left of it."""
    t = Terms()
    key, size = state.key(t), state.spec.value_size
    (kept,) = _cookie(t, None, size)
    there = t.negate(t.eq(8 * size, kept, t.const(8 * size, 0)))
    start = holding(t, state.spec, key, there, Bytes(lambda at: t.app("cookie", 8, at)))
    first = behaviour(t, exit_, "reference", state.spec.name, None, start)
    second = behaviour(t, fused, "candidate", "", True)
    end = before_and_after(t, first, state.spec, start)[1]
    only_touches(end, key, exit_.program.name)
    left_behind = as_memory(t, replace(entry_of(t, end, key, size), value=()))
    gone = Bytes(lambda offset: t.const(8, 0))
    left = with_state(first, state.spec.name, left_behind, t.const(32, 0), [], (*SESSION, NOT_ZERO))
    return equiv(t, left, with_state(second, "", gone, second.return_value, [], ()), Setting(limits))


# --- arguments that are read again ------------------------------------------------------------------------------------
_KEPT = THREAD_CONSTANT | {"ctx"}
"""What is the same when a call returns as when it was entered: its arguments, its thread, and what was configured."""


def _reread(entry: Side, exit_: Side, both: Side, state: State, limits: Limits | None) -> Verdict:
    """The entry's run ends in a state that is a function of what is kept; from there the exit's has to be the candidate's."""
    t = Terms()
    key, size = state.key(t), state.spec.value_size
    empty = holding(t, state.spec, key, t.false, Bytes(lambda at: t.const(8, 0)))
    way_in = behaviour(t, entry, "entry", state.spec.name, None, empty)
    left = before_and_after(t, way_in, state.spec, empty)[1]
    only_touches(left, key, entry.program.name)
    written = any(memory.written() != set() for memory in way_in.data.values())
    if written or way_in.recorded or way_in.calls or set(way_in.hashes) - {state.spec.name}:
        raise Unmodelled("entry-effects", f"{entry.program.name} does more than to leave state for the exit")
    found = entry_of(t, left, key, size)
    for node in postorder(found.present, *found.value):
        if node.op == "app" and node.name not in _KEPT:
            raise Unmodelled("entry-effects", f"what {entry.program.name} leaves depends on {node.name}, which changes")
    value = Bytes(lambda at: t.const(8, 0))
    for (at, length), part in zip(chunks(size), found.value, strict=True):
        value = value.store(t, t.const(64, at), length, part)
    start = holding(t, state.spec, key, found.present, value)
    first = behaviour(t, exit_, "reference", state.spec.name, None, start)
    second = behaviour(t, both, "candidate", "", None)
    after = before_and_after(t, first, state.spec, start)[1]
    only_touches(after, key, exit_.program.name)
    nothing, gone = t.const(32, 0), Bytes(lambda at: t.const(8, 0))
    there = as_memory(t, replace(entry_of(t, after, key, size), value=()))
    reference = with_state(first, state.spec.name, there, nothing, [], REREAD)
    return equiv(t, reference, with_state(second, "", gone, nothing, [], ()), Setting(limits))
