"""Makes the fused object: picks for each pair the best form that is proved and that the verifier accepts, and writes it.

A form is tried from best to worst. What the proof does not show, or the kernel refuses, is put aside with its reason, and the
next form is tried, down to the pair as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bpfsmith.diagnostic import KernelError, ToolError
from bpfsmith.isa.program import MapSpec
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.objfile.regroup import NotApart, regrouped
from bpfsmith.objfile.reshape import Shape, raw_types, reshaped
from bpfsmith.objfile.writer import NewCode, rewrite
from bpfsmith.optimize.graph import Graph, Irregular
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Equal, Unknown, Verdict
from bpfsmith.trace import proof
from bpfsmith.trace.forms import Form, Judged, Kernel, has_early_out, judge, state_map, storage_of, storage_refusal
from bpfsmith.trace.objects import key_argument
from bpfsmith.trace.pairs import THREAD, Found, Half, Pair, find_pairs
from bpfsmith.trace.provenance import MapUse
from bpfsmith.trace.relation import Side, State
from bpfsmith.trace.rereading import reread
from bpfsmith.trace.rewriting import (
    COOKIE,
    IS_RETURN,
    STACK_BYTES,
    Marked,
    Refused,
    Storage,
    always_returning,
    frame_bytes,
    fused,
    graph_of,
    inlined,
    marked,
    to_cookie,
    to_storage,
    with_early_out,
)
from bpfsmith.trace.sharing import Users, users_of
from bpfsmith.trace.specialise import NOTHING_KNOWN, Known, applied, slots, trials, with_values
from bpfsmith.trace.types import with_session_functions, with_storage

SESSIONS = frozenset({Form.SESSION, Form.SESSION_STORAGE})
JOINED = SESSIONS | {Form.REREAD}
"""Forms in which one program does what both did."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Special:
    """What became of a pair's programs when what is known was folded into them: slots before and after, and how many questions
    of the way out went that the way in has asked already. `reason`: why they stayed general."""

    slots_before: int
    slots_after: int
    checks_removed: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a pair. `form` None: it is as it was. `loaded` is the verifier's answer in a word or two; `put_aside` are
    the better forms that did not hold."""

    judged: Judged
    form: Form | None
    verdict: Verdict | None = None
    loaded: str = ""
    put_aside: tuple[tuple[Form, str], ...] = ()
    special: Special | None = None

    @property
    def pair(self) -> Pair:
        return self.judged.pair


@dataclass(frozen=True, slots=True)
class FusedObject:
    data: bytes
    obj: Object
    outcomes: tuple[Outcome, ...]


@dataclass(slots=True)
class _Plan:
    """The form of every pair, by its name, and why better ones were put aside."""

    forms: dict[str, Form | None]
    only: frozenset[Form]
    known: Known = NOTHING_KNOWN
    general: dict[str, str] = field(default_factory=dict)  # the pairs that what is known is not folded into, and why
    aside: dict[str, list[tuple[Form, str]]] = field(default_factory=dict)

    def worse(self, judged: Judged, reason: str) -> None:
        """Goes on to the next form of a pair."""
        name = judged.pair.name
        form = self.forms[name]
        assert form is not None
        self.aside.setdefault(name, []).append((form, reason))
        left = [item for item in judged.allowed if item in self.only and item not in {f for f, _ in self.aside[name]}]
        self.forms[name] = left[0] if left else None

    def stay_general(self, name: str, reason: str) -> bool:
        """Leaves what is known out of a pair's programs; False where it was out already."""
        if not self.known or name in self.general:
            return False
        self.general[name] = reason
        return True


_FRAMES = 127  # PERF_MAX_STACK_DEPTH
MADE = tuple(Form)


def fuse(
    data: bytes,
    path: str,
    kernel: Kernel,
    *,
    here: bool,
    only: frozenset[Form] = frozenset(MADE),
    allow_unknown: bool = False,
    uprobes: bool = False,
    known: Known = NOTHING_KNOWN,
    limits: Limits | None = None,
    progress: Progress = lambda text: None,
) -> FusedObject:
    """The object with its pairs fused for `kernel`; `here`: that is the kernel this runs on, whose verifier is asked.

    With `allow_unknown` a form that is neither proved nor refuted stays, and its outcome says so; one that differs never does.
    What is `known` of its loading and attachment is folded into the pairs' programs.
    """
    data = with_values(data, replace(read_object(data), path=path), known)
    original = replace(read_object(data), path=path)
    found = find_pairs(original, uprobes=uprobes)
    judged = {pair.name: judge(pair, found, kernel) for pair in found.pairs}
    plan = _Plan({name: next((f for f in item.allowed if f in only), None) for name, item in judged.items()}, only, known)
    refused_before = _refused(original, found) if here else frozenset()
    steps: dict[tuple[str, frozenset[str]], proof.Step] = {}
    shared: dict[str, Users] = {}
    verdicts: dict[tuple[str, Form], Verdict] = {}
    unfused: dict[str, Verdict] = {}
    while True:
        plain = _emitted(data, original, found, plan, judged, kernel)
        if plain is None:
            continue
        made = _specialised(plain, found, plan, path)
        answers = dict(_asked(made, found, plan, refused_before)) if here else {}
        refused = [name for name, answer in answers.items() if answer.startswith("rejected")]
        for name in refused:
            if not plan.stay_general(name, answers[name]):
                plan.worse(judged[name], answers[name])
        if refused:
            continue
        for name, form in plan.forms.items():
            if form is None and known and name not in plan.general and name not in unfused:
                unfused[name] = _unfused(original, made, judged[name].pair, known, limits)
                if not isinstance(unfused[name], Equal):
                    plan.general[name] = _why_not(unfused[name])
                    break
            if form is not None and (name, form) not in verdicts:
                progress(f"proving {name} as {form}")
                verdicts[name, form] = _proved(
                    original,
                    made,
                    found,
                    judged[name].pair,
                    form,
                    limits,
                    steps,
                    shared,
                    _taken(found, plan),
                    _storages(found, plan),
                    known,
                )
                verdict = verdicts[name, form]
                if not isinstance(verdict, Equal) and plan.stay_general(name, _why_not(verdict)):
                    del verdicts[name, form]
                    steps.clear()
                    break
                if not isinstance(verdict, Equal) and not (allow_unknown and isinstance(verdict, Unknown)):
                    plan.worse(judged[name], _why_not(verdict))
                    break
        else:
            break
    closed: dict[str, int] = {}
    for name, form in plan.forms.items():
        if form in SESSIONS and known and name not in plan.general:
            progress(f"looking for questions of {name} that are asked twice")
            made, closed[name], again = _asked_once(original, made, found, judged[name].pair, form, known, limits, shared, here)
            verdicts[name, form] = again or verdicts[name, form]
    outcomes = tuple(
        Outcome(
            item,
            (form := plan.forms[name]),
            _said(verdicts.get((name, form)), plan, name) if form is not None else unfused.get(name),
            answers.get(name, "not asked") if form is not None else "",
            tuple(plan.aside.get(name, ())),
            _special(plain, made, item.pair, plan, closed.get(name, 0)) if known else None,
        )
        for name, item in judged.items()
    )
    changed = made != data
    return FusedObject(made if changed else data, read_object(made if changed else data), outcomes)


def _said(verdict: Verdict | None, plan: _Plan, name: str) -> Verdict | None:
    """With what was known among the assumptions, where it is in the code."""
    if isinstance(verdict, Equal) and plan.known and name not in plan.general:
        return replace(verdict, assumptions=(*plan.known.said(), *verdict.assumptions))
    return verdict


def _why_not(verdict: Verdict) -> str:
    match verdict:
        case Unknown(gap=gap, detail=detail):
            return f"not proved ({gap}: {detail})"
        case Equal():
            return ""
        case different:
            return f"not the same: they differ in the {different.counterexample.observable}"


# --- the object -------------------------------------------------------------------------------------------------------
def _emitted(data: bytes, obj: Object, found: Found, plan: _Plan, judged: Mapping[str, Judged], kernel: Kernel) -> bytes | None:
    """The object as planned; None when a form turned out not to fit and the plan was changed."""
    types = raw_types(data)
    if types is None:
        for name, form in plan.forms.items():
            if form is not None:
                plan.worse(judged[name], "the object has no types (BTF)")
        types = obj.btf
    sessions = [item for item in found.pairs if plan.forms[item.name] in SESSIONS]
    storages = _storages(found, plan)
    rereads = [item for item in found.pairs if plan.forms[item.name] is Form.REREAD]
    changes: dict[str, NewCode] = {}
    for pair in (*sessions, *rereads):
        try:
            if pair in rereads:
                changes[pair.exit.program.name] = _reread_code(obj, pair)
                continue
            storage = storages[state_map(pair).spec.name] if plan.forms[pair.name] is Form.SESSION_STORAGE else None
            changes[pair.entry.program.name] = _session_code(obj, pair, storage, kernel)
        except (Refused, Irregular) as reason:
            plan.worse(judged[pair.name], str(reason))
            return None
    taken = _taken(found, plan)
    joined = frozenset(state_map(pair).spec.name for pair in (*sessions, *rereads))
    graphs: dict[str, tuple[Graph, Graph]] = {}
    for name, storage in storages.items():
        users = [pair for pair in found.pairs if plan.forms[pair.name] is not None and state_map(pair).spec.name == name]
        try:
            _storage_code(obj, found, storage, taken, joined, changes, graphs)
        except (Refused, Irregular) as reason:
            for pair in users:
                plan.worse(judged[pair.name], str(reason))
            return None
        if types is not None:
            types = with_storage(types, obj.map(name), storage)
    changes |= {name: graph.code() for name, (_, graph) in graphs.items()}
    if not changes:
        return data
    if sessions and types is not None:
        types = with_session_functions(types, kernel.takes_context)
    shape = Shape(types, (IS_RETURN, COOKIE) if sessions else ())
    new = rewrite(reshaped(data, shape, obj.path), changes, obj.path)
    sections = {pair.entry.program.name: _section(pair, kernel) for pair in sessions}
    gone = {pair.exit.program.name for pair in sessions} | {pair.entry.program.name for pair in rereads}
    try:
        return regrouped(new, sections, gone, obj.path)
    except NotApart as reason:
        for pair in (*sessions, *rereads):
            plan.worse(judged[pair.name], str(reason))
        return None


def _taken(found: Found, plan: _Plan) -> frozenset[str]:
    """The programs that became one with their other half."""
    pairs = [pair for pair in found.pairs if plan.forms[pair.name] in JOINED]
    return frozenset(half.program.name for pair in pairs for half in (pair.entry, pair.exit))


def _section(pair: Pair, kernel: Kernel) -> str:
    stem = kernel.session_section(pair.entry.hook.mechanism)
    assert stem is not None
    return f"{stem}/{pair.entry.hook.target}" if pair.entry.hook.target else stem


def _storages(found: Found, plan: _Plan) -> dict[str, Storage]:
    """The maps that become storage of tasks or sockets."""
    wanted = {Form.SESSION_STORAGE, Form.TASK_STORAGE}
    maps = [state_map(pair).spec for pair in found.pairs if plan.forms[pair.name] in wanted]
    storages = {spec.name: Storage(spec.name, spec.value_size) for spec in maps if storage_refusal(spec, found) is None}
    for spec in (state_map(pair).spec for pair in found.pairs if plan.forms[pair.name] is Form.OBJECT_STORAGE):
        storages[spec.name] = Storage(spec.name, spec.value_size, storage_of(spec, found))
    return storages


def _callees(obj: Object, half: Half, map_name: str) -> dict[str, Graph]:
    """The subprograms in which a half touches the map."""
    names = {use.function for use in half.of(map_name)} - {half.program.name}
    return {name: graph_of(obj.functions[name]) for name in names}


def _with_callees(obj: Object, half: Half, map_name: str) -> tuple[Graph, Marked]:
    """A half with the subprograms that touch the map inlined, and the calls on the map in it."""
    own, callees = graph_of(obj.functions[half.program.name]), _callees(obj, half, map_name)
    marks = marked(own, half.uses, map_name)
    for callee in callees.values():
        marks |= marked(callee, half.uses, map_name)
    return inlined(own, callees) if callees else own, marks


def _session_code(obj: Object, pair: Pair, storage: Storage | None, kernel: Kernel) -> NewCode:
    spec = state_map(pair).spec
    way_in, in_marks = _with_callees(obj, pair.entry, spec.name)
    way_out, out_marks = _with_callees(obj, pair.exit, spec.name)
    early = has_early_out(pair)
    way_in = with_early_out(way_in, in_marks) if early else always_returning(way_in, 0)
    ctx = -(max(frame_bytes(way_in), frame_bytes(way_out)) + 8)
    if storage is not None:
        way_in, way_out = (to_storage(way_in, in_marks, storage), to_storage(way_out, out_marks, storage))
    else:
        way_in = to_cookie(way_in, in_marks, spec.value_size, kernel.takes_context, ctx)
        way_out = to_cookie(way_out, out_marks, spec.value_size, kernel.takes_context, ctx, not early)
    if -ctx + 8 > STACK_BYTES:
        raise Refused(f"{pair.name} leaves no room on the stack")
    return fused(pair.entry.program.name, way_in, always_returning(way_out, 0), kernel.takes_context, ctx).code()


def _reread_code(obj: Object, pair: Pair) -> NewCode:
    spec = state_map(pair).spec
    way_in, in_marks = _with_callees(obj, pair.entry, spec.name)
    way_out, out_marks = _with_callees(obj, pair.exit, spec.name)
    return reread(pair.exit.program.name, way_in, in_marks, way_out, out_marks, spec.value_size).code()


def _storage_code(
    obj: Object, found: Found, storage: Storage, taken: frozenset[str], joined: frozenset[str], changes: dict[str, NewCode],
    graphs: dict[str, tuple[Graph, Graph]],
) -> None:  # fmt: skip
    """Every function that touches the map, but for those that a session has taken over, whose maps are those in `joined`.
    `graphs` are functions as they were and as they are, of which one may use several such maps."""
    by_function: dict[str, list[MapUse]] = {}
    arguments: dict[str, int | None] = {}
    for half in found.halves.values():
        if half.program.name in taken and half.of(storage.map) and storage.map not in joined:
            raise Refused(f"{half.program.name} became one with its other half, and uses {storage.map} too")
        if half.program.name not in taken:
            arguments[half.program.name] = key_argument(half, storage.map) if _of_object(found, storage) else None
            for use in half.of(storage.map):
                by_function.setdefault(use.function, []).append(use)
    for name, uses in by_function.items():
        if name in changes:
            raise Refused(f"{name} became a part of a session")
        original, graph = graphs[name] if name in graphs else (graph_of(obj.functions[name]),) * 2
        graphs[name] = original, to_storage(graph, marked(original, uses, storage.map), storage, arguments.get(name))


def _of_object(found: Found, storage: Storage) -> bool:
    """Are the map's keys objects that the hooks are given, not the running thread?"""
    return any(item.spec.name == storage.map and item.key_class not in THREAD for pair in found.pairs for item in pair.maps)


# --- what is known ----------------------------------------------------------------------------------------------------
def _programs_of(obj: Object, pair: Pair) -> list[str]:
    """The programs of a pair that are left of it, in whatever form."""
    names = {program.name for program in obj.programs}
    return [half.program.name for half in (pair.entry, pair.exit) if half.program.name in names]


def _specialised(data: bytes, found: Found, plan: _Plan, path: str) -> bytes:
    """The object with what is known folded into all pairs but those that stay general."""
    if not plan.known:
        return data
    obj = read_object(data)
    general = {name for pair in found.pairs if pair.name in plan.general for name in _programs_of(obj, pair)}
    wanted = dict.fromkeys(name for pair in found.pairs for name in _programs_of(obj, pair) if name not in general)
    return applied(data, list(wanted), plan.known, path)


def _unfused(original: Object, data: bytes, pair: Pair, known: Known, limits: Limits | None) -> Verdict:
    """A pair whose programs keep their form: each against what it was."""
    obj, spec = read_object(data), state_map(pair).spec
    halves = [half.program for half in (pair.entry, pair.exit)]
    return proof.summary(
        proof.same_run(Side(half, original, known), Side(obj.program(half.name), obj, known), spec, limits) for half in halves
    )


def _asked_once(
    original: Object, data: bytes, found: Found, pair: Pair, form: Form, known: Known, limits: Limits | None,
    shared: dict[str, Users], here: bool,
) -> tuple[bytes, int, Verdict | None]:  # fmt: skip
    """The object without questions of a session's way out that its way in has asked; how many, and the last form's proof."""
    name, closed, verdict = pair.entry.program.name, 0, None
    trying = True
    while trying:
        trying = False
        obj = read_object(data)
        for code in trials(obj, name):
            trial = rewrite(data, {name: code}, original.path)
            if here and _answer(read_object(trial), name).startswith("rejected"):
                continue
            answer = _proved(original, trial, found, pair, form, limits, {}, shared, frozenset(), {}, known)
            if isinstance(answer, Equal):
                data, closed, verdict, trying = trial, closed + 1, answer, True
                break
    return data, closed, verdict


def _special(plain: bytes, made: bytes, pair: Pair, plan: _Plan, closed: int) -> Special:
    before, after = read_object(plain), read_object(made)
    names = _programs_of(after, pair)
    return Special(slots(before, names), slots(after, names), closed, plan.general.get(pair.name, ""))


# --- asking -----------------------------------------------------------------------------------------------------------
def _refused(obj: Object, found: Found) -> frozenset[str]:
    """The programs that this kernel does not accept as they are."""
    names = {half.program.name for pair in found.pairs for half in (pair.entry, pair.exit)}
    return frozenset(name for name in names if _answer(obj, name).startswith("rejected"))


def _asked(data: bytes, found: Found, plan: _Plan, refused_before: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The verifier's answer for each fused pair; that of one whose original it refuses says nothing."""
    obj = read_object(data)
    for pair in found.pairs:
        form = plan.forms[pair.name]
        if form is None:
            continue
        if {pair.entry.program.name, pair.exit.program.name} & refused_before:
            yield pair.name, "not asked: this kernel refuses the original"
            continue
        names = [half.program.name for half in (pair.entry, pair.exit)]
        names = {Form.REREAD: names[1:]}.get(form, names[:1] if form in SESSIONS else names)
        answers = [_answer(obj, name) for name in names]
        worst = next((a for a in answers if a.startswith("rejected")), None)
        yield pair.name, worst or next((a for a in answers if a != "accepted"), "accepted")


def _sized(spec: MapSpec) -> MapSpec:
    """A map with what its loader would fill in, where it leaves that open: the verifier does not mind how much."""
    if spec.type == "BPF_MAP_TYPE_STACK_TRACE" and not spec.value_size:
        spec = replace(spec, value_size=8 * _FRAMES)
    unsized = spec.type.endswith(("_STORAGE", "PERF_EVENT_ARRAY"))
    return spec if spec.max_entries or unsized else replace(spec, max_entries=1)


def _answer(obj: Object, name: str) -> str:
    try:
        program = obj.program(name)
        with open_maps(replace(obj, maps=tuple(map(_sized, obj.maps)))) as maps, load(program, maps) as outcome:
            return "accepted" if isinstance(outcome, Accepted) else f"rejected: {outcome.reason}"
    except KernelError as error:
        return f"not asked: {error.diagnostics[0].message}"
    except ToolError as error:
        return f"rejected: {error.diagnostics[0].message}"


def _proved(
    original: Object,
    data: bytes,
    found: Found,
    pair: Pair,
    form: Form,
    limits: Limits | None,
    known: dict[tuple[str, frozenset[str]], proof.Step],
    shared: dict[str, Users],
    taken: frozenset[str],
    storages: Mapping[str, Storage],
    given: Known = NOTHING_KNOWN,
) -> Verdict:
    """The proof of one pair, of the bytes that were written; programs that several pairs share are proved once."""
    obj = read_object(data)
    item = state_map(pair)
    state = State(item.spec, item.key_class)
    of = storage_of(item.spec, found) if form is Form.OBJECT_STORAGE else "task"
    storage = Storage(item.spec.name, item.spec.value_size, of) if form is not Form.SESSION else None
    ours = {half: Side(half.program, original, given) for half in (pair.entry, pair.exit)}
    if form in SESSIONS:
        over = shared.setdefault(item.spec.name, users_of(found, original, item.spec.name, given))
        return proof.summary(
            proof.session(
                over,
                ours[pair.entry],
                ours[pair.exit],
                Side(obj.program(pair.entry.program.name), obj, given),
                storage,
                limits,
                early_out=has_early_out(pair),
            )
        )
    if form is Form.REREAD:
        both = Side(obj.program(pair.exit.program.name), obj, given)
        return proof.summary(proof.reread(ours[pair.entry], ours[pair.exit], both, state, limits))
    assert storage is not None
    written = {program.name: program for program in obj.programs if program.name not in taken}
    users = [half for half in found.halves.values() if half.of(item.spec.name) and half.program.name in written]
    steps: list[proof.Step] = []
    for half in users:
        moved = {name: kept for name, kept in storages.items() if half.of(name)}
        step = known.get((half.program.name, frozenset(moved)))
        if step is None:
            sides = Side(half.program, original, given), Side(written[half.program.name], obj, given)
            if form is Form.OBJECT_STORAGE:
                state = replace(state, argument=key_argument(half, item.spec.name))
            also = [(_state(found, name), kept) for name, kept in moved.items() if name != item.spec.name]
            step = proof.task_storage(*sides, state, storage, limits, also)
            known[half.program.name, frozenset(moved)] = step
        steps.append(step)
    return proof.summary(steps)


def _state(found: Found, map_name: str) -> State:
    """How the keys of a thread's map are made."""
    items = (item for pair in found.pairs for item in pair.maps)
    return next(State(item.spec, item.key_class) for item in items if item.spec.name == map_name)
