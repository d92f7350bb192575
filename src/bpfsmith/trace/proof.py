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

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bpfsmith.gate.budget import TimeUp, at_most
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.kernel.vmlinux import running_btf
from bpfsmith.objfile.core_relo import Ambiguous
from bpfsmith.objfile.object import Object
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.behaviour import Behaviour, of_program
from bpfsmith.semantics.equiv import Setting, equiv
from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.kfuncs import session_is_return
from bpfsmith.semantics.memory import Bytes, HashMap
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import Term, Terms, postorder
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.trace.pairs import KeyClass
from bpfsmith.trace.rewriting import Storage

OWN_STATE, LEFT_BEHIND, ARMED = "state of the thread", "state that the exit leaves behind", "armed word"
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
CONFIGURED = "what the loader puts into .rodata is any constant"
EXITS = "every call that returns runs its return probe"
RESULT_UNUSED = "nobody looks at what a probe returns, as is so for programs attached by a link"
SESSION = (ROOM, OWN_KEY, NO_RECURSION, EXITS, RESULT_UNUSED)
_SMALL = 16
RODATA = ".rodata"


@dataclass(frozen=True, slots=True)
class Step:
    """One of the comparisons that make up a proof."""

    name: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Side:
    """A program and the object it comes from."""

    program: Program
    obj: Object

    def relocated(self) -> Program:
        """The program as this machine's kernel would see it, for any configuration: the loader may change .rodata before it is
        frozen. Unmodelled where there are no types to relocate by."""
        program = self.program
        if self.obj.core_relos(program):
            types = running_btf()
            if types is None:
                raise Unmodelled("no-kernel-types", "the program is relocated by a kernel's types (CO-RE): there are none here")
            program = self.obj.relocated(program, types)
        return replace(program, maps=tuple(replace(m, frozen=False) if m.name == RODATA else m for m in program.maps))


@dataclass(frozen=True, slots=True)
class State:
    """The map of the original that carries the pair's state, and how its keys are made."""

    spec: MapSpec
    key_class: KeyClass

    def key(self, t: Terms) -> Term:
        """The key of the running thread, as the original makes it. Unmodelled for keys that are not the thread's own."""
        both, width = t.app("bpf_get_current_pid_tgid", 64), 8 * self.spec.key_size
        match self.key_class:
            case KeyClass.TID if width == 32:
                return t.extract(both, 64, 31, 0)
            case KeyClass.TID if width == 64:
                return t.zext(t.extract(both, 64, 31, 0), 32, 64)
            case KeyClass.PID_TGID if width == 64:
                return both
            case KeyClass.TASK if width == 64:
                return t.app("bpf_get_current_task", 64)
            case _:
                raise Unmodelled("pair-key", f"keys of {self.spec.name} are not the running thread's")


def task_storage(reference: Side, candidate: Side, state: State, storage: Storage, limits: Limits | None = None) -> Step:
    """One program of a pair whose state moved from a hash to task storage."""
    name = f"{candidate.program.name}: each run"
    return Step(name, _guarded(lambda: _task_storage(reference, candidate, state, storage, None, limits)))


def session(
    entry: Side, exit_: Side, fused: Side, state: State, storage: Storage | None, limits: Limits | None = None
) -> tuple[Step, ...]:
    """An entry and an exit against the one program that stands for both; `storage` None: the state is in the cookie."""
    name = fused.program.name
    try:
        with at_most(BUDGET):
            lingers, leaves = _may_linger(entry, state), _leaves(exit_, state)
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
        Step(f"{name}: on the way out", _guarded(lambda: _way_out(exit_, fused, state, storage, must_go, limits))),
        Step(f"{name}: a way out that is left out", _guarded(lambda: _left_out(exit_, state, limits))),
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
"""Seconds for each comparison."""


def _guarded(work: Callable[[], Verdict]) -> Verdict:
    try:
        with at_most(BUDGET):
            return work()
    except TimeUp:
        return Unknown("time-limit", f"no proof within {BUDGET} s")
    except Unmodelled as gap:
        return Unknown(gap.gap, gap.detail)
    except Ambiguous as reason:
        return Unknown("ambiguous-core-relocation", str(reason))


# --- one run ----------------------------------------------------------------------------------------------------------
def _behaviour(
    t: Terms, side: Side, label: str, roomy: str, on_return: bool | None = None, start: HashMap | None = None
) -> Behaviour:
    """What a program does, from `start` as the pair's map; of a session, on the way that `on_return` says."""
    way = session_is_return(t)

    def settle(value: Term) -> Term:
        if on_return is None or value.is_const:
            return value
        nodes = postorder(value)
        if len(nodes) > _SMALL or {node for node in nodes if node.op == "app"} != {way}:
            return value
        return t.const(value.width, evaluate([value], lambda name, width, args: int(on_return))[0])

    initial = {roomy: start} if start is not None else {}
    return of_program(t, side.relocated(), label, never_full=frozenset({roomy}), settle=settle, initial=initial)


def _renamed(side: Side, old: str, new: str) -> Side:
    """The program with a map under another name: what two maps hold in the beginning must not be one input."""

    def insns(code: tuple[Insn, ...]) -> tuple[Insn, ...]:
        return tuple(replace(insn, symbol=new) if insn.is_wide and insn.symbol == old else insn for insn in code)

    program = side.relocated()
    program = replace(
        program,
        insns=insns(program.insns),
        subprograms=tuple(replace(sub, insns=insns(sub.insns)) for sub in program.subprograms),
        maps=tuple(replace(spec, name=new) if spec.name == old else spec for spec in program.maps),
    )
    return Side(program, replace(side.obj, functions={}))


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a map holds for one key: is there something, and the bytes if so."""

    present: Term
    value: tuple[Term, ...]


def _entry(t: Terms, contents: HashMap, key: Term, size: int, armed_at: int | None = None) -> _Entry:
    present = contents.present(t, key)
    if armed_at is not None:
        armed = contents.load(t, key, t.const(64, armed_at), 4)
        present = t.all_of(present, t.negate(t.eq(32, armed, t.const(32, 0))))
    return _Entry(present, tuple(contents.load(t, key, t.const(64, at), n) for at, n in _chunks(size)))


def _chunks(size: int) -> list[tuple[int, int]]:
    return [(at, min(8, size - at)) for at in range(0, size, 8)]


def _as_memory(t: Terms, entry: _Entry) -> Bytes:
    """An entry as bytes that are compared: present or not, then the value, zeros where there is none."""
    memory = Bytes(lambda offset: t.const(8, 0))
    memory = memory.store(t, t.const(64, 0), 8, t.ite(64, entry.present, t.const(64, 1), t.const(64, 0)))
    for index, value in enumerate(entry.value):
        shown = t.ite(value.width, entry.present, value, t.const(value.width, 0))
        memory = memory.store(t, t.const(64, 8 + 8 * index), 8, t.zext(shown, value.width, 64) if value.width < 64 else shown)
    return memory


def _holding(t: Terms, spec: MapSpec, key: Term, present: Term, value: Bytes) -> HashMap:
    """A map that holds these bytes under the key where `present`, nothing there where not, and anything under other keys."""
    full = mapmodel.initial(t, spec).insert(t.true, key, value, t.const(32, 0))
    return full if present is t.true else full.delete(t.negate(present), key)


def _only(contents: HashMap, key: Term, what: str) -> None:
    """Nothing but this key's entry is touched."""
    touched = contents.keys()
    if any(known is not key for known in touched):
        raise Unmodelled("pair-key", f"{what} changes entries that are not the running thread's")


def _without(
    behaviour: Behaviour, map_name: str, state: Bytes, result: Term, given: list[Term], said: tuple[str, ...]
) -> Behaviour:
    """The behaviour with the pair's state as something that is compared of its own, in the place of the map."""
    return replace(
        behaviour,
        return_value=result,
        hashes={name: contents for name, contents in behaviour.hashes.items() if name != map_name},
        data={**behaviour.data, OWN_STATE: state},
        cookie=None,
        accesses=tuple(access for access in behaviour.accesses if access.place != map_name),
        preconditions=(*behaviour.preconditions, *given),
        assumptions=(*behaviour.assumptions, *said, *((CONFIGURED,) if said else ())),
    )


def _final(t: Terms, behaviour: Behaviour, spec: MapSpec, start: HashMap | None = None) -> tuple[HashMap, HashMap]:
    """A map before and after the run."""
    start = start or mapmodel.initial(t, spec)
    return start, behaviour.hashes.get(spec.name, start)


# --- task storage -----------------------------------------------------------------------------------------------------
def _storage_spec(state: State, storage: Storage) -> MapSpec:
    return MapSpec(
        f"{state.spec.name} of the task", "BPF_MAP_TYPE_TASK_STORAGE", mapmodel.ADDRESS_BYTES, storage.total_bytes, 0
    )


def _task_storage(
    reference: Side, candidate: Side, state: State, storage: Storage, on_return: bool | None, limits: Limits | None,
    more: Callable[[Terms, _Entry, _Entry], tuple[list[Term], Term | None]] | None = None, must_go: bool = False,
) -> Verdict:  # fmt: skip
    """One run against one run; `more` gives further preconditions and the result that is wanted of the candidate, from what the
    original's entry was before and after. `must_go`: the original's entry has to be gone afterwards."""
    t = Terms()
    moved = _storage_spec(state, storage)
    key, task, size = state.key(t), t.app("bpf_get_current_task_btf", 64), state.spec.value_size
    there, armed = t.app(f"map:{moved.name}.present", 0, task), t.app(f"map:{moved.name}.armed", 0, task)

    def value(at: Term) -> Term:
        return t.app(f"map:{moved.name}.value", 8, task, at)

    word = {storage.armed_at: (4, t.ite(32, armed, t.const(32, 1), t.const(32, 0)))}
    start = _holding(t, state.spec, key, t.all_of(there, armed), Bytes(value))
    start_there = _holding(t, moved, task, there, Bytes(value, dict(word)))
    renamed = _renamed(candidate, state.spec.name, moved.name)
    first = _behaviour(t, reference, "reference", state.spec.name, None, start)
    second = _behaviour(t, renamed, "candidate", moved.name, on_return, start_there)
    ours, theirs = _final(t, first, state.spec, start), _final(t, second, moved, start_there)
    _only(ours[1], key, reference.program.name)
    _only(theirs[1], task, candidate.program.name)
    before, after = (_entry(t, contents, key, size) for contents in ours)
    after_there = _entry(t, theirs[1], task, size, storage.armed_at)
    given: list[Term] = []
    wanted: Term | None = first.return_value
    said: tuple[str, ...] = (ROOM, OWN_KEY)
    if more is not None:
        extra, wanted = more(t, before, after)
        given += extra
        said = SESSION
    nothing = t.const(32, 0)
    left = _without(first, state.spec.name, _as_memory(t, after), wanted if wanted is not None else nothing, given, said)
    right = _without(
        second, moved.name, _as_memory(t, after_there), second.return_value if wanted is not None else nothing, [], ()
    )
    # The armed word is 0 or 1 before, which has to be so afterwards.
    last = theirs[1].load(t, task, t.const(64, storage.armed_at), 4)
    strange = t.all_of(theirs[1].present(t, task), t.ult(32, t.const(32, 1), last))
    left = replace(left, data={**left.data, ARMED: _as_memory(t, _Entry(t.false, ()))})
    right = replace(right, data={**right.data, ARMED: _as_memory(t, _Entry(strange, ()))})
    if must_go:
        gone = Bytes(lambda offset: t.const(8, 0))
        left = replace(left, data={**left.data, LEFT_BEHIND: _as_memory(t, replace(after, value=()))})
        right = replace(right, data={**right.data, LEFT_BEHIND: gone})
    return equiv(t, left, right, Setting(limits))


# --- sessions ---------------------------------------------------------------------------------------------------------
def _stores(t: Terms, entry: Side, state: State) -> Term:
    """When a run of the entry leaves something, whatever was there before: never, where that cannot be told."""
    first = _behaviour(t, entry, "stores", state.spec.name)
    start, end = _final(t, first, state.spec)
    before, after = (contents.present(t, state.key(t)) for contents in (start, end))
    if after.op == "disj" and before in after.args:
        after = t.any_of(*(item for item in after.args if item is not before))
    return t.false if before in postorder(after) else after


_THREAD_CONSTANT = frozenset({"bpf_get_current_pid_tgid", "bpf_get_current_task", "bpf_get_current_task_btf", f"map:{RODATA}"})


def _may_linger(entry: Side, state: State) -> bool:
    """May an entry outlive its call without harm? So where it depends on the thread alone whether a call stores: a thread whose
    calls are passed over never has one, and in the others each call overwrites it."""
    stores = _stores(Terms(), entry, state)
    return all(node.name in _THREAD_CONSTANT for node in postorder(stores) if node.op == "app")


def _leaves(exit_: Side, state: State) -> bool:
    """May the exit leave the entry that it found?"""
    t = Terms()
    start = _holding(t, state.spec, state.key(t), t.true, Bytes(lambda at: t.app("cookie", 8, at)))
    end = _final(t, _behaviour(t, exit_, "reference", state.spec.name, None, start), state.spec, start)[1]
    return end.present(t, state.key(t)) is not t.false


def _before_entry(t: Terms, entry: Side, state: State, before: _Entry, lingers: bool) -> Term:
    """What is known of a thread's entry when the function is called: it is gone, or it is one that is overwritten."""
    absent = t.negate(before.present)
    return t.any_of(absent, _stores(t, entry, state)) if lingers else absent


def _way_in(entry: Side, fused: Side, state: State, storage: Storage | None, lingers: bool, limits: Limits | None) -> Verdict:
    def more(t: Terms, before: _Entry, after: _Entry) -> tuple[list[Term], Term]:
        return [_before_entry(t, entry, state, before, lingers)], t.ite(32, after.present, t.const(32, 0), t.const(32, 1))

    if storage is not None:
        return _task_storage(entry, fused, state, storage, False, limits, more)
    t = Terms()
    key, size = state.key(t), state.spec.value_size
    start = None if lingers else _holding(t, state.spec, key, t.false, Bytes(lambda at: t.const(8, 0)))
    first = _behaviour(t, entry, "reference", state.spec.name, None, start)
    second = _behaviour(t, fused, "candidate", "", False)
    contents = _final(t, first, state.spec, start)
    _only(contents[1], key, entry.program.name)
    before, after = (_entry(t, item, key, size) for item in contents)
    given, wanted = more(t, before, after)
    runs = t.eq(32, second.return_value, t.const(32, 0))
    there = _Entry(runs, _cookie(t, second.cookie, size))
    left = _without(first, state.spec.name, _as_memory(t, after), wanted, given, SESSION)
    return equiv(t, left, _without(second, "", _as_memory(t, there), second.return_value, [], ()), Setting(limits))


def _cookie(t: Terms, memory: Bytes | None, size: int) -> tuple[Term, ...]:
    known = memory or Bytes(lambda offset: t.app("cookie", 8, offset))
    loaded = [known.load(t, t.const(64, at), n) for at, n in _chunks(size)]
    if not all(isinstance(item, Term) for item in loaded):
        raise Unmodelled("leaked-pointer", "a pointer is kept in the session's cookie")
    return tuple(item for item in loaded if isinstance(item, Term))


def _way_out(exit_: Side, fused: Side, state: State, storage: Storage | None, must_go: bool, limits: Limits | None) -> Verdict:
    if storage is not None:
        return _task_storage(
            exit_, fused, state, storage, True, limits, lambda t, before, after: ([before.present], None), must_go=must_go
        )
    t = Terms()
    key, size = state.key(t), state.spec.value_size
    start = _holding(t, state.spec, key, t.true, Bytes(lambda at: t.app("cookie", 8, at)))
    first = _behaviour(t, exit_, "reference", state.spec.name, None, start)
    second = _behaviour(t, fused, "candidate", "", True)
    end = _final(t, first, state.spec, start)[1]
    _only(end, key, exit_.program.name)
    after = _entry(t, end, key, size)
    nothing, gone = t.const(32, 0), Bytes(lambda offset: t.const(8, 0))
    kept = gone if not must_go else _as_memory(t, replace(after, value=()))
    left = _without(first, state.spec.name, kept, nothing, [], SESSION)
    return equiv(t, left, _without(second, "", gone, nothing, [], ()), Setting(limits))


def _left_out(exit_: Side, state: State, limits: Limits | None) -> Verdict:
    """The exit of a call whose entry left nothing, against a program that does nothing."""
    t = Terms()
    key, size = state.key(t), state.spec.value_size
    start = _holding(t, state.spec, key, t.false, Bytes(lambda at: t.const(8, 0)))
    first = _behaviour(t, exit_, "reference", state.spec.name, None, start)
    end = _final(t, first, state.spec, start)[1]
    _only(end, key, exit_.program.name)
    after = _entry(t, end, key, size)
    nothing = t.const(32, 0)
    first = replace(
        first,
        calls={name: count for name, count in first.calls.items() if not name.startswith(_HARMLESS)},
        recorded={name: given for name, given in first.recorded.items() if not name.startswith(_HARMLESS)},
    )
    left = _without(first, state.spec.name, _as_memory(t, after), nothing, [], (RESULT_UNUSED,))
    idle = Behaviour("nothing", nothing, {}, {}, None, {}, first.maps)
    right = _without(idle, state.spec.name, _as_memory(t, _Entry(t.false, after.value)), nothing, [], ())
    return equiv(t, left, right, Setting(limits))
