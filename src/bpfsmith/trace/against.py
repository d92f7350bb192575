"""Is a fused form that somebody else has made the pair that it was made of?"""

from __future__ import annotations

from collections.abc import Iterator

from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.objfile.btf import Int, Struct
from bpfsmith.objfile.object import Object
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Equal, Unknown, Verdict
from bpfsmith.trace import proof
from bpfsmith.trace.forms import COOKIE_BYTES, state_map
from bpfsmith.trace.pairs import Found, Pair, PairMap, find_pairs
from bpfsmith.trace.relation import Side, State
from bpfsmith.trace.rewriting import Mark, Storage
from bpfsmith.trace.sharing import users_of

_WORDS = (1, 2, 4, 8)
_TASK_STORAGE = "BPF_MAP_TYPE_TASK_STORAGE"


def compared(original: Object, other: Object, limits: Limits | None = None) -> Iterator[tuple[Pair, Verdict]]:
    """Is what another object has in the place of each pair the same? Sessions that keep their state in the cookie are compared
    with both halves, programs of the halves' names each with its own, which may keep the state in task storage."""
    found = find_pairs(original)
    sessions = {program.name: program for program in other.programs if program.section.partition("/")[0].endswith("session")}
    for pair in found.pairs:
        program = sessions.get(pair.entry.program.name)
        if program is None and len(sessions) == len(found.pairs) == 1:
            (program,) = sessions.values()
        yield pair, _as_session(found, pair, program, other, limits) if program else _by_halves(found, pair, other, limits)


def _as_session(found: Found, pair: Pair, program: Program, other: Object, limits: Limits | None) -> Verdict:
    item = state_map(pair)
    if len(pair.maps) != 1 or item.spec.value_size > COOKIE_BYTES:
        return Unknown("pair-state", "the state of the pair does not fit a cookie")
    users = users_of(found, found.obj, item.spec.name)
    way_in, way_out = (Side(half.program, found.obj) for half in (pair.entry, pair.exit))
    early_out = not program.section.startswith("fsession")
    return proof.summary(proof.session(users, way_in, way_out, Side(program, other), None, limits, early_out=early_out))


def _by_halves(found: Found, pair: Pair, other: Object, limits: Limits | None) -> Verdict:
    item, programs = state_map(pair), {program.name: program for program in other.programs}
    halves = [half.program for half in (pair.entry, pair.exit)]
    if not {half.name for half in halves} <= programs.keys():
        return Unknown("no-session", f"{other.path} has no session program called {halves[0].name}, nor both halves")
    sides = [(Side(half, found.obj), Side(programs[half.name], other)) for half in halves]
    moved = [spec for spec in other.maps if spec.type == _TASK_STORAGE]
    if moved and all(spec.name != item.spec.name or spec.type == _TASK_STORAGE for spec in other.maps):
        return _in_storage(item, sides, [storage for spec in moved for storage in layouts(other, spec, item.spec)], limits)
    return proof.summary(proof.same_run(*side, item.spec, limits) for side in sides)


def _in_storage(item: PairMap, sides: list[tuple[Side, Side]], known: list[Storage], limits: Limits | None) -> Verdict:
    """By a layout under which the way in is the same: the way out then has to be, too."""
    state, found = State(item.spec, item.key_class), None
    (way_in, way_out), tried = sides, []
    for storage in known:
        entry = proof.task_storage(*way_in, state, storage, limits)
        tried.append(f"{storage.map} by its {storage.mark.value} at byte {storage.armed_at}: {_word(entry.verdict)}")
        if isinstance(entry.verdict, Equal):
            both = proof.summary((entry, proof.task_storage(*way_out, state, storage, limits)))
            found = both if found is None or isinstance(both, Equal) else found
            if isinstance(found, Equal):
                break
    if found is not None:
        return found
    return Unknown(
        "storage-layout", f"under no layout does {way_in[1].program.name} leave what it is to leave ({'; '.join(tried)})"
    )


def _word(verdict: Verdict) -> str:
    return f"{verdict.gap}" if isinstance(verdict, Unknown) else type(verdict).__name__.lower()


def layouts(other: Object, spec: MapSpec, state: MapSpec) -> Iterator[Storage]:
    """How task storage may hold the bytes of a map's entry: with a word beside them that says so, or without."""
    value = other.btf.resolved(spec.value_btf_id) if other.btf is not None and spec.value_btf_id else None
    members = value.members if isinstance(value, Struct) else ()
    places = [(item.bit_offset // 8, _bytes(other, item.type_id)) for item in members]
    size = spec.value_size
    for at, length in reversed(places):
        rest = [place for place, _ in places if place != at]
        first = min(rest, default=size)
        clear = first + state.value_size <= size and not (first < at + length and at < first + state.value_size)
        if length in _WORDS and clear:
            yield Storage(spec.name, state.value_size, value_at=first, word=(at, length), size=size)
    if size >= state.value_size:
        if state.value_size in _WORDS:
            yield Storage(spec.name, state.value_size, mark=Mark.NOT_ZERO, size=size)
        yield Storage(spec.name, state.value_size, mark=Mark.PRESENT, size=size)


def _bytes(other: Object, type_id: int) -> int:
    kind = other.btf.resolved(type_id) if other.btf is not None else None
    return kind.size if isinstance(kind, Int) else 0
