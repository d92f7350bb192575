"""What can be seen of a run, as pairs of terms: the questions of an equivalence check."""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.behaviour import Behaviour
from bpfsmith.semantics.memory import Bytes
from bpfsmith.semantics.terms import Term, Terms


@dataclass(frozen=True, slots=True)
class Observable:
    """Something that can be seen of a run: `left` on the reference's side, `right` on the candidate's, where `where` holds."""

    name: str
    left: Term
    right: Term
    where: Term

    def differs(self, t: Terms) -> Term:
        """The condition under which the two sides are told apart."""
        return t.all_of(self.where, t.negate(t.same(self.left, self.right)))


def observables(t: Terms, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    """Everything that can be seen of a run, in the order in which a person would want to hear of it."""
    out = [Observable("return value", reference.return_value, candidate.return_value, t.true)]
    if reference.packet is not None or candidate.packet is not None:
        out.append(_packet(t, reference, candidate))
    observed = reference.observed
    for name in sorted(reference.data.keys() | candidate.data.keys()):
        if observed is None or name in observed:
            out += _data(t, name, reference, candidate)
    for name in sorted(reference.hashes.keys() | candidate.hashes.keys()):
        if observed is None or name in observed:
            out += _hash(t, _spec(name, reference, candidate), reference, candidate)
    zero = t.const(16, 0)
    for helper in sorted(reference.calls.keys() | candidate.calls.keys()):
        counts = reference.calls.get(helper, zero), candidate.calls.get(helper, zero)
        out.append(Observable(f"number of calls of {helper}", *counts, t.true))
    return out


def _spec(name: str, reference: Behaviour, candidate: Behaviour) -> MapSpec:
    return next(spec for spec in (*candidate.maps, *reference.maps) if spec.name == name)


def _load(t: Terms, memory: Bytes, offset: Term, size: int) -> Term:
    value = memory.load(t, offset, size)
    assert isinstance(value, Term), "pointers are never stored outside the stack"
    return value


def _packet(t: Terms, reference: Behaviour, candidate: Behaviour) -> Observable:
    """Packet bytes below the packet's length. (What a dropped packet holds is compared too, which is stricter than needed.)"""
    untouched = Bytes(lambda offset: t.app("packet", 8, offset))
    at = t.app("packet.offset", 64)
    inside = t.ult(64, at, t.zext(t.app("packet_length", 16), 16, 64))
    left, right = (_load(t, side.packet or untouched, at, 1) for side in (reference, candidate))
    return Observable("packet", left, right, inside)


def _data(t: Terms, name: str, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    untouched = Bytes(lambda offset: t.app(f"map:{name}", 8, offset))
    a, b = reference.data.get(name, untouched), candidate.data.get(name, untouched)

    def part(label: str, offset: int, size: int) -> Observable:
        left, right = (_load(t, side, t.const(64, offset), size) for side in (a, b))
        return Observable(label, left, right, t.true)

    if reference.observed is not None:
        return [part(*item) for item in reference.observed[name]]
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
