"""Is one run of a program one indivisible step over the state that CPUs share?

The semantics follows a single CPU; this is what carries its result over to many. From the accesses that a symbolic run has
seen: memory that the program never writes does not matter; additions whose old value nobody sees commute with everything; of
the rest, either all accesses stand in one critical section, or there is one indivisible access per run, or one location that
is only overwritten. What other programs touch of that memory (`Elsewhere`) is as good as written here, and has to be under the
lock too, unless both sides only add to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import chain

from bpfsmith.semantics.behaviour import Behaviour, Elsewhere
from bpfsmith.semantics.state import Access
from bpfsmith.semantics.terms import Term, Terms

PRIVATE = frozenset({"BPF_MAP_TYPE_PERCPU_ARRAY", "BPF_MAP_TYPE_PERCPU_HASH", "BPF_MAP_TYPE_LRU_PERCPU_HASH"})
"""Map types whose values other CPUs do not touch."""

INDIVISIBLE = ("add", "update", "insert")
"""Kinds of accesses that nothing comes between."""

SEVERAL = "an indivisible update became several"


@dataclass(frozen=True, slots=True)
class _Location:
    """Overlapping accesses of one map, taken together. `keyed`: the offset depends on a key or is not constant."""

    place: str
    accesses: tuple[Access, ...]
    keyed: bool
    elsewhere: tuple[Elsewhere, ...] = ()  # what other programs do to these bytes

    @property
    def written(self) -> bool:
        return bool(self.elsewhere) or any(access.kind != "load" for access in self.accesses)

    @property
    def only_added(self) -> bool:
        added = all(access.kind == "add" for access in self.accesses) and all(other.adds for other in self.elsewhere)
        return added and not self.keyed and self.uniform

    @property
    def only_overwritten(self) -> bool:
        stored = all(access.kind == "store" for access in self.accesses) and not self.elsewhere
        return stored and not self.keyed and self.uniform

    @property
    def uniform(self) -> bool:
        """Every access is of the same bytes, few enough for the CPU to touch them at once."""
        shapes = {(access.offset, access.size) for access in self.accesses}
        return len(shapes) == 1 and all(size <= 8 and (offset or 0) % size == 0 for offset, size in shapes)


def lost_atomicity(t: Terms, behaviour: Behaviour, elsewhere: Sequence[Elsewhere] = ()) -> str | None:
    """Why a run is not one atomic step, in a sentence; None when it is. `elsewhere`: what other programs do to the memory."""
    mutable = [location for location in _locations(t, behaviour, elsewhere) if location.written]
    rest = [location for location in mutable if not location.only_added]
    accesses = [access for location in rest for access in location.accesses]
    if not rest or (len(rest) == 1 and rest[0].only_overwritten):
        return None
    if _always_locked(t, accesses):
        if _one_section(t, behaviour.sections_taken):
            return None
        return "shared state is used in more than one critical section of a run"
    whole = all(access.kind in ("update", "insert") or access.size <= 8 for access in accesses)
    # A write, even an indivisible one, can fall between the load and the store of another program that holds the lock.
    cuts_in = any(location.elsewhere and any(item.kind != "load" for item in location.accesses) for location in rest)
    if whole and not cuts_in and _one_per_run(t, accesses):
        return None
    places = ", ".join(sorted({access.place for access in accesses}))
    kinds = ", ".join(sorted({access.kind for access in accesses}))
    return f"another CPU can come between the accesses ({kinds}) to {places}: neither a lock nor a single atomic instruction"


def only_counted(behaviour: Behaviour, place: str) -> bool:
    """Does a program do nothing to the entries of a hash map but look them up, add to them in place and insert those that are
    missing? Then no entry that another CPU counts in is ever overwritten."""
    return all(
        access.kind in ("add", "insert") or (access.kind == "load" and access.insn_idx is None)  # a lookup reads no value
        for access in behaviour.accesses
        if access.place == place
    )


def weakened(
    t: Terms, reference: Behaviour, candidate: Behaviour, possible: Callable[[Term], bool], is_step: bool
) -> str | None:
    """Does the candidate keep a place less whole than the reference does on the same input? Says how, or None. Whether a
    condition is `possible` is asked of the caller. What one of them does not touch at all is no matter of wholeness, and a
    candidate that `is_step` can only have made several additions of one, each of which is seen by who reads in between."""
    for place in sorted({access.place for access in candidate.accesses}):
        sides = [[item for item in _touching(t, side) if item.place == place] for side in (reference, candidate)]
        losses = [_replaced(t, *sides), *(_losses(t, *both) for both in _side_by_side(*sides))]
        for words, condition in chain(*losses):
            if (words == SEVERAL or not is_step) and condition is not t.false and possible(condition):
                return f"{place}: {words}"
    before, after = reference.sections_taken, candidate.sections_taken
    if not is_step and before is not None and after is not None:
        other = t.all_of(t.negate(t.eq(16, before, after)), t.ult(16, t.const(16, 0), before))
        if other is not t.false and possible(other):
            return "shared state is used in another number of critical sections"
    return None


def _touching(t: Terms, behaviour: Behaviour) -> list[Access]:
    """The accesses that others can come between: a lookup reads no value."""
    private = {spec.name for spec in behaviour.maps if spec.type in PRIVATE}
    return [
        access
        for access in behaviour.accesses
        if access.place not in private
        and access.guard is not t.false
        and (access.kind != "load" or access.insn_idx is not None)
    ]


def _side_by_side(before: list[Access], after: list[Access]) -> Iterator[tuple[list[Access], list[Access]]]:
    """What the instructions of both sides do to the same bytes of an entry, or to any of them where that is not plain."""
    before, after = ([item for item in side if item.insn_idx is not None] for side in (before, after))
    cuts: list[tuple[int, int]] = []
    for access in sorted((*before, *after), key=lambda item: item.within or 0):
        if access.within is None:
            yield before, after
            return
        end = access.within + access.size
        if cuts and access.within < cuts[-1][1]:
            cuts[-1] = (cuts[-1][0], max(end, cuts[-1][1]))
        else:
            cuts.append((access.within, end))
    for low, high in cuts:
        first, second = ([item for item in side if low <= (item.within or 0) < high] for side in (before, after))
        yield first, second


def _count(t: Terms, accesses: Iterable[Access], *kinds: str) -> Term:
    """How many of these accesses a run makes (16 bits)."""
    steps = (t.ite(16, item.guard, t.const(16, 1), t.const(16, 0)) for item in accesses if item.kind in kinds)
    return reduce(partial(t.add, 16), steps, t.const(16, 0))


def _replaced(t: Terms, before: list[Access], after: list[Access]) -> Iterator[tuple[str, Term]]:
    """How a whole entry that a helper puts in place may have become less whole."""
    whole, none = _count(t, (item for item in before if item.insn_idx is None), *INDIVISIBLE), t.const(16, 0)
    if whole is none:
        return
    more = t.ult(16, whole, _count(t, (item for item in after if item.insn_idx is None), *INDIVISIBLE))
    stores = t.all_of(t.eq(16, _count(t, before, "store"), none), t.ult(16, none, _count(t, after, "store")))
    had_whole = t.ult(16, none, whole)
    yield "an update of a whole entry became several", t.all_of(had_whole, more)
    yield "an update of a whole entry became plain stores", t.all_of(had_whole, stores)


def _losses(t: Terms, before: list[Access], after: list[Access]) -> Iterator[tuple[str, Term]]:
    """How accesses to the same bytes may have become less whole, and when."""
    whole = _count(t, before, *INDIVISIBLE)
    if not whole.is_const or whole.number:
        had_whole = t.ult(16, t.const(16, 0), whole)
        more_stores = t.ult(16, _count(t, before, "store"), _count(t, after, "store"))
        yield "an indivisible update became a load and a store", t.all_of(had_whole, more_stores)
        yield SEVERAL, t.all_of(had_whole, t.ult(16, whole, _count(t, after, *INDIVISIBLE)))
    held = t.any_of(*(t.all_of(item.guard, item.locked) for item in before))
    if held is t.false:
        return
    free = t.any_of(*(t.all_of(item.guard, t.negate(item.locked)) for item in before))
    for access in after:
        outside = t.all_of(access.guard, t.negate(access.locked), held, t.negate(free))
        yield "it is used without the lock that the reference holds", outside
        here = [
            t.all_of(item.guard, item.locked, t.same(item.section, access.section))
            for item in before
            if item.section is not None and access.section is not None
        ]
        moved = t.all_of(access.guard, access.locked, held, t.negate(t.any_of(*here)))
        yield "it is used in another critical section than in the reference", moved


def _always_locked(t: Terms, accesses: list[Access]) -> bool:
    return all(t.all_of(access.guard, t.negate(access.locked)) is t.false for access in accesses)


def _locations(t: Terms, behaviour: Behaviour, elsewhere: Sequence[Elsewhere] = ()) -> list[_Location]:
    private = {spec.name for spec in behaviour.maps if spec.type in PRIVATE}
    by_place: dict[str, list[Access]] = {}
    for access in behaviour.accesses:
        if access.place not in private and access.guard is not t.false:
            by_place.setdefault(access.place, []).append(access)
    out = []
    for place, accesses in sorted(by_place.items()):
        if any(access.offset is None for access in accesses):
            others = tuple(other for other in elsewhere if other.place == place)
            out.append(_Location(place, tuple(accesses), keyed=True, elsewhere=others))
        else:
            for group in _overlapping(accesses):
                others = tuple(other for other in elsewhere if other.place == place and _touches(other, group))
                out.append(_Location(place, tuple(group), keyed=False, elsewhere=others))
    return out


def _touches(other: Elsewhere, accesses: list[Access]) -> bool:
    return any(
        (access.offset or 0) < other.offset + other.size and other.offset < (access.offset or 0) + access.size
        for access in accesses
    )


def _overlapping(accesses: Iterable[Access]) -> list[list[Access]]:
    groups: list[list[Access]] = []
    end = -1
    for access in sorted(accesses, key=lambda item: item.offset or 0):
        start = access.offset or 0
        if start >= end:
            groups.append([])
        groups[-1].append(access)
        end = max(end, start + access.size)
    return groups


def _one_section(t: Terms, sections: Term | None) -> bool:
    return sections is not None and t.ult(16, sections, t.const(16, 2)) is t.true


def _one_per_run(t: Terms, accesses: list[Access]) -> bool:
    """No run makes two of these accesses: their guards exclude each other (decided by rewriting only)."""
    guards = [access.guard for access in accesses]
    return all(t.all_of(a, b) is t.false for i, a in enumerate(guards) for b in guards[i + 1 :])
