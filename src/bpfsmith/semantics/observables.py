"""What can be seen of a run, as pairs of terms: the questions of an equivalence check."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.behaviour import DRAWS, Behaviour
from bpfsmith.semantics.memory import Bytes, joined
from bpfsmith.semantics.recorded import PacketView, untouched_packet
from bpfsmith.semantics.terms import Term, Terms

MOST_AT_ONCE = 256
"""Bytes of a variable that are one question; of a longer one any byte is asked for."""

Contexts = tuple[tuple[Term, Bytes], ...]


@dataclass(frozen=True, slots=True)
class Observable:
    """Something that can be seen of a run: `left` on the reference's side, `right` on the candidate's, where `where` holds."""

    name: str
    left: Term
    right: Term
    where: Term
    shown: bool = True  # a test run can show it: what helpers are given and what is left in a context stay inside
    parts: tuple[
        Observable, ...
    ] = ()  # smaller questions: where none of them differs, this one does not; they may ask too much

    def differs(self, t: Terms) -> Term:
        """The condition under which the two sides are told apart."""
        return t.all_of(self.where, t.negate(t.same(self.left, self.right)))

    def by_bytes(self, t: Terms) -> list[Observable]:
        """The same question about each byte of it."""
        width = self.left.width
        if width <= 8:
            return [self]
        places = [(min(at + 7, width - 1), at) for at in range(0, width, 8)]
        return [
            replace(self, left=t.extract(self.left, width, *place), right=t.extract(self.right, width, *place), parts=())
            for place in places
        ]


def observables(t: Terms, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    """Everything that can be seen of a run, in the order in which a person would want to hear of it."""
    out = [Observable("return value", reference.return_value, candidate.return_value, t.true)]
    if reference.packet is not None or candidate.packet is not None:
        out += packet_observables(t, reference.packet or untouched_packet(t), candidate.packet or untouched_packet(t))
    if reference.metadata is not None or candidate.metadata is not None:
        out += [replace(item, shown=False) for item in _metadata(t, reference, candidate)]
    if reference.context is not None or candidate.context is not None:
        out += [replace(item, shown=False) for item in _context(t, reference, candidate)]
    if reference.cookie is not None or candidate.cookie is not None:
        out.append(_cookie(t, reference, candidate))
    observed = reference.observed
    for name in sorted((reference.data.keys() | candidate.data.keys()) - reference.ignored):
        if observed is None or name in observed:
            out += _data(t, name, reference, candidate)
    for name in sorted((reference.hashes.keys() | candidate.hashes.keys()) - reference.ignored):
        if observed is None or name in observed:
            out += _hash(t, _spec(name, reference, candidate), reference, candidate)
    out += [replace(item, shown=False) for item in _recorded(t, reference, candidate)]
    zero = t.const(16, 0)
    for helper in sorted(reference.calls.keys() | candidate.calls.keys()):
        counts = reference.calls.get(helper, zero), candidate.calls.get(helper, zero)
        out.append(Observable(f"number of calls of {helper}", *counts, t.true, helper in DRAWS))
    return out


def _spec(name: str, reference: Behaviour, candidate: Behaviour) -> MapSpec:
    specs = (spec for side in (candidate, reference) for spec in (*mapmodel.entry_specs(side.maps), *side.maps))
    return next(spec for spec in specs if spec.name == name)


def _load(t: Terms, memory: Bytes, offset: Term, size: int) -> Term:
    value = memory.load(t, offset, size)
    assert isinstance(value, Term), "pointers are never stored outside the stack"
    return value


def packet_observables(t: Terms, left: PacketView, right: PacketView, of: str = "packet") -> list[Observable]:
    """Length and bytes of the packet. (What a dropped packet holds is compared too, which is stricter than needed.)"""
    places, words = _places(t, left, right, of), _bytes_by_place(t, left, right, of)
    if not places and words is not None:
        out = words
    else:
        at = t.app("packet.offset", 64)
        parts = (*places, *words) if words is not None else ()
        out = [Observable(of, left.byte(t, at), right.byte(t, at), t.ult(64, at, left.length), parts=parts)]
    if left.length is not right.length:
        out.insert(0, Observable(f"length of the {of}", left.length, right.length, t.true))
    return out


def _places(t: Terms, left: PacketView, right: PacketView, of: str) -> list[Observable]:
    """Do the packets begin in the same places? Nothing where that is plain."""
    out = []
    for (ours, _, here), (theirs, _, there) in zip(left.parts, right.parts, strict=False):
        out += [Observable(f"place of the {of}", ours, theirs, t.true)] if ours is not theirs else []
        out += [Observable(f"place of the {of}", here, there, ours)] if here is not there else []
    return out


def _bytes_by_place(t: Terms, left: PacketView, right: PacketView, of: str) -> list[Observable] | None:
    """A question for every word that either side wrote, if both packets begin in the places of the left one; None where they
    lie in other memory."""
    if not left.regions or left.regions != right.regions:
        return None
    out = []
    for (guard, ours, start), (_, theirs, _) in zip(left.parts, right.parts, strict=True):
        written = ours.written(), theirs.written()
        if written[0] is None or written[1] is None:
            return None
        for word in sorted({offset // 8 for offset in written[0] | written[1]}):
            sides = []
            for memory in (ours, theirs):
                inside = []
                for at in range(8 * word, 8 * word + 8):
                    here = t.ult(64, t.sub(64, t.const(64, at), start), left.length)
                    inside.append(t.ite(8, here, _load(t, memory, t.const(64, at), 1), t.const(8, 0)))
                sides.append(joined(t, inside))
            out.append(Observable(of, sides[0], sides[1], guard))
    return out


def _metadata(t: Terms, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    before = t.zext(t.app("packet_meta_length", 8), 8, 64)
    memory = Bytes(lambda offset: t.app("packet", 8, offset))
    untouched = PacketView(((t.true, memory, t.sub(64, t.const(64, 0), before)),), before)
    return packet_observables(t, reference.metadata or untouched, candidate.metadata or untouched, "metadata of the packet")


def _context(t: Terms, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    """Every word of the context that either side wrote."""
    written: set[int] = set()
    for side in (reference.context, candidate.context):
        written |= (side.written() or set()) if side is not None else set()
    known = reference.context or candidate.context
    assert known is not None
    untouched = Bytes(known.below)
    out = []
    for at in sorted({offset // 4 * 4 for offset in written}):
        left, right = (_load(t, side or untouched, t.const(64, at), 4) for side in (reference.context, candidate.context))
        out.append(Observable(f"context bytes {at}..{at + 3}", left, right, t.true))
    return out


def _recorded(t: Terms, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    """What recorded helpers were given, and the packets that they saw. How often they were called is compared apart."""
    out, nothing = [], Bytes(lambda offset: t.const(8, 0))
    for channel in sorted(reference.recorded.keys() | candidate.recorded.keys()):
        a, b = (side.recorded.get(channel, nothing) for side in (reference, candidate))
        written = [side.written() for side in (a, b)]
        label = f"what {channel} is given"
        if written[0] is not None and written[1] is not None:
            words = sorted({offset // 8 * 8 for offset in written[0] | written[1]})
            for at in words:
                out.append(Observable(label, _load(t, a, t.const(64, at), 8), _load(t, b, t.const(64, at), 8), t.true))
        else:
            anywhere = t.app(f"calls:{channel}.offset", 64)
            out.append(Observable(label, _load(t, a, anywhere, 1), _load(t, b, anywhere, 1), t.true))
    for name in sorted(reference.snapshots.keys() | candidate.snapshots.keys()):
        left, right = (side.snapshots.get(name, untouched_packet(t)) for side in (reference, candidate))
        out += packet_observables(t, left, right, f"packet seen by {name}")
    for name in sorted(reference.contexts.keys() | candidate.contexts.keys()):
        out += _seen_context(t, name, reference.contexts.get(name, ()), candidate.contexts.get(name, ()))
    return out


def _seen_context(t: Terms, name: str, left: Contexts, right: Contexts) -> list[Observable]:
    """Every word of the context that either side had written when a call looked there."""
    known = [memory for _, memory in (*left, *right)]
    written = [memory.written() for memory in known]
    words = sorted({offset // 4 * 4 for offsets in written for offset in offsets or ()})
    out = []
    for at in words:
        sides = []
        for contexts in (left, right):
            value = t.const(32, 0)  # where there is no such call
            for condition, memory in contexts:
                value = t.ite(32, condition, _load(t, memory, t.const(64, at), 4), value)
            sides.append(value)
        out.append(Observable(f"context bytes {at}..{at + 3} seen by {name}", sides[0], sides[1], t.true))
    return out


def _cookie(t: Terms, reference: Behaviour, candidate: Behaviour) -> Observable:
    known = reference.cookie or candidate.cookie
    assert known is not None
    untouched = Bytes(known.below)
    left, right = (_load(t, side.cookie or untouched, t.const(64, 0), 8) for side in (reference, candidate))
    return Observable("session cookie", left, right, t.true, shown=False)


def _data(t: Terms, name: str, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    untouched = Bytes(lambda offset: t.app(f"map:{name}", 8, offset))
    a, b = reference.data.get(name, untouched), candidate.data.get(name, untouched)

    def part(label: str, offset: int, size: int) -> Observable:
        left, right = (_load(t, side, t.const(64, offset), size) for side in (a, b))
        return Observable(label, left, right, t.true)

    def anywhere(label: str, offset: int, size: int) -> Observable:
        at = t.app(f"map:{name}.offset", 64)
        inside = t.ult(64, t.sub(64, at, t.const(64, offset)), t.const(64, size))
        return Observable(label, _load(t, a, at, 1), _load(t, b, at, 1), inside)

    if reference.observed is not None:
        return [(part if item.size <= MOST_AT_ONCE else anywhere)(*item) for item in reference.observed[name]]
    written = [side.written() for side in (a, b)]
    if written[0] is not None and written[1] is not None:
        words = sorted({offset // 8 * 8 for offset in written[0] | written[1]})
        return [part(f"map {name} bytes {at}..{at + 7}", at, 8) for at in words]
    at = t.app(f"map:{name}.offset", 64)
    spec = _spec(name, reference, candidate)
    inside = t.ult(64, at, t.const(64, mapmodel.stride(spec) * spec.max_entries))
    return [Observable(f"map {name}", _load(t, a, at, 1), _load(t, b, at, 1), inside)]


def _hash(t: Terms, spec: MapSpec, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    """The same keys are present, and hold the same bytes: asked of one arbitrary key."""
    start = mapmodel.initial(t, spec)
    a, b = reference.hashes.get(spec.name, start), candidate.hashes.get(spec.name, start)
    key = t.app(f"key:{spec.name}", 8 * spec.key_size)
    here, there = a.present(t, key), b.present(t, key)
    out = [Observable(f"keys of map {spec.name}", here, there, t.true)]
    for at in range(0, spec.value_size, 8):
        size = min(8, spec.value_size - at)
        left, right = (side.load(t, key, t.const(64, at), size) for side in (a, b))
        out.append(Observable(f"values of map {spec.name}", left, right, t.all_of(here, there)))
    return out
