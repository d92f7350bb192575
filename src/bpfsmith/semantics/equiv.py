"""Does the candidate do what the reference does? Compares two behaviours and knows nothing of their origin.

One question per observable, each up a ladder: equal by rewriting; told apart by random inputs; the solvers. A difference
becomes a counterexample that is shrunk and handed to a replayer before anyone sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bpfsmith.diagnostic import Diagnostic, InternalError
from bpfsmith.execution import Counterexample
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics import witness
from bpfsmith.semantics.atomicity import lost_atomicity
from bpfsmith.semantics.behaviour import Behaviour
from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.memory import Bytes
from bpfsmith.semantics.solver import Limits, NoAnswer, Satisfiable, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import Term, Terms
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.semantics.witness import Assignment

RANDOM_RUNS = 48
Replayer = Callable[[Counterexample], Counterexample | None]
"""Runs the candidate on a counterexample's input: gives it back with `replayed_on` filled, or None if it did something else."""

SINGLE_THREAD = "one run at a time: the proof follows one CPU, and the atomicity of the step carries it to many"


@dataclass(frozen=True, slots=True)
class Observable:
    """Something that can be seen of a run: it differs where `differs` holds."""

    name: str
    differs: Term


@dataclass(frozen=True, slots=True)
class Setting:
    """What a check may use: limits of the solvers, defaults that make counterexamples believable, and who replays them."""

    limits: Limits | None = None
    replay: Replayer | None = None
    packet: bytes = bytes(64)
    usual: tuple[tuple[tuple[str, tuple[int, ...]], int], ...] = ()  # usual values of inputs, such as the initial state


def equiv(t: Terms, reference: Behaviour, candidate: Behaviour, setting: Setting | None = None) -> Verdict:
    """Equal for every input that both sides' preconditions admit, Different with a replayed counterexample, or Unknown."""
    setting = setting or Setting()
    given = [*reference.preconditions, *candidate.preconditions]
    for obligation in (*reference.obligations, *candidate.obligations):
        if not isinstance(satisfiable([*given, obligation.condition], setting.limits), Unsatisfiable):
            return Unknown(obligation.gap, obligation.detail)
    differences = observables(t, reference, candidate)
    evidence = [f"{item.name}: equal by rewriting" for item in differences if item.differs is t.false]
    open_ones = [item for item in differences if item.differs is not t.false]
    found = _by_chance(t, open_ones, given, reference, candidate, setting)
    if found is not None:
        return found
    undecided: list[str] = []
    for item in open_ones:
        conditions = [*given, *witness.monotone_clock(t, [*given, item.differs]), item.differs]
        match satisfiable(conditions, setting.limits):
            case Unsatisfiable(solver=solver):
                evidence.append(f"{item.name}: proved by {solver}")
            case Satisfiable(values=values):
                assignment = Assignment(dict(values), None, dict(setting.usual))
                return _different(t, item, assignment, conditions, reference, candidate, setting)
            case NoAnswer(reason=reason):
                undecided.append(f"{item.name}: {reason}")
    if undecided:
        return Unknown("solver-limit", f"{'; '.join(undecided)}; {RANDOM_RUNS} random runs found no difference")
    # Only now: a difference that a packet can show says more than a lost lock.
    if lost_atomicity(t, reference) is None:
        lost = lost_atomicity(t, candidate)
        if lost is not None:
            return Unknown("lost-atomicity", lost)
    assumptions = (*reference.assumptions, *candidate.assumptions, SINGLE_THREAD)
    return Equal(tuple(dict.fromkeys(assumptions)), tuple(evidence))


def observables(t: Terms, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    """Everything that can be seen of a run, in the order in which a person would want to hear of it."""
    width = reference.return_value.width
    out = [Observable("return value", t.negate(t.eq(width, reference.return_value, candidate.return_value)))]
    if reference.packet is not None or candidate.packet is not None:
        out += _packet(t, reference, candidate)
    for name in sorted(reference.data.keys() | candidate.data.keys()):
        if reference.observed is None or name in reference.observed:
            out += _data(t, name, reference, candidate)
    for name in sorted(reference.hashes.keys() | candidate.hashes.keys()):
        if reference.observed is None or name in reference.observed:
            out += _hash(t, name, reference, candidate)
    zero = t.const(16, 0)
    for helper in sorted(reference.calls.keys() | candidate.calls.keys()):
        counts = reference.calls.get(helper, zero), candidate.calls.get(helper, zero)
        out.append(Observable(f"number of calls of {helper}", t.negate(t.eq(16, *counts))))
    return out


def _packet(t: Terms, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    """Packet bytes below the packet's length. (What a dropped packet holds is compared too, which is stricter than needed.)"""
    untouched = Bytes(lambda offset: t.app("packet", 8, offset))
    sides = [side.packet or untouched for side in (reference, candidate)]
    at = t.app("packet.offset", 64)
    inside = t.ult(64, at, t.zext(t.app("packet_length", 16), 16, 64))
    a, b = (side.load(t, at, 1) for side in sides)
    assert isinstance(a, Term)
    assert isinstance(b, Term)
    return [Observable("packet", t.all_of(inside, t.negate(t.eq(8, a, b))))]


def _data(t: Terms, name: str, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    untouched = Bytes(lambda offset: t.app(f"map:{name}", 8, offset))
    a, b = reference.data.get(name, untouched), candidate.data.get(name, untouched)
    fields = reference.observed.get(name) if reference.observed is not None else None
    if fields is not None:
        return [Observable(label, _bytes_differ(t, a, b, offset, size)) for label, offset, size in fields]
    written = [side.written() for side in (a, b)]
    if written[0] is None or written[1] is None:
        at = t.app(f"map:{name}.offset", 64)
        spec = next(spec for spec in (*candidate.maps, *reference.maps) if spec.name == name)
        inside = t.ult(64, at, t.const(64, max(spec.value_size, 8) * spec.max_entries))
        x, y = a.load(t, at, 1), b.load(t, at, 1)
        assert isinstance(x, Term)
        assert isinstance(y, Term)
        return [Observable(f"map {name}", t.all_of(inside, t.negate(t.eq(8, x, y))))]
    words = sorted({offset // 8 * 8 for offset in written[0] | written[1]})
    return [Observable(f"map {name} bytes {at}..{at + 7}", _bytes_differ(t, a, b, at, 8)) for at in words]


def _bytes_differ(t: Terms, a: Bytes, b: Bytes, offset: int, size: int) -> Term:
    x, y = (side.load(t, t.const(64, offset), size) for side in (a, b))
    assert isinstance(x, Term)
    assert isinstance(y, Term)
    return t.negate(t.eq(8 * size, x, y))


def _hash(t: Terms, name: str, reference: Behaviour, candidate: Behaviour) -> list[Observable]:
    """The same keys are present, and hold the same bytes: asked of one arbitrary key."""
    spec = next(spec for spec in (*candidate.maps, *reference.maps) if spec.name == name)
    start = mapmodel.initial(t, spec)
    a, b = reference.hashes.get(name, start), candidate.hashes.get(name, start)
    key = t.app(f"key:{name}", 8 * spec.key_size)
    here, there = a.present(t, key), b.present(t, key)
    differ = t.negate(t.any_of(t.all_of(here, there), t.all_of(t.negate(here), t.negate(there))))
    out = [Observable(f"keys of map {name}", differ)]
    for at in range(0, spec.value_size, 8):
        size = min(8, spec.value_size - at)
        x, y = (side.load(t, key, t.const(64, at), size) for side in (a, b))
        out.append(Observable(f"values of map {name}", t.all_of(here, there, t.negate(t.eq(8 * size, x, y)))))
    return out


def _by_chance(
    t: Terms,
    open_ones: list[Observable],
    given: list[Term],
    reference: Behaviour,
    candidate: Behaviour,
    setting: Setting,
) -> Different | None:
    """Random inputs find half of all differences without a solver."""
    if not open_ones:
        return None
    axioms = witness.monotone_clock(t, [*given, *(item.differs for item in open_ones)])
    usual = dict(setting.usual)
    for seed in range(RANDOM_RUNS):
        assignment = Assignment({}, seed, usual)
        values = evaluate([*given, *axioms, *(item.differs for item in open_ones)], assignment)
        if not all(values[: len(given) + len(axioms)]):
            continue
        for item, differs in zip(open_ones, values[len(given) + len(axioms) :], strict=True):
            if differs:
                conditions = [*given, *axioms, item.differs]
                return _different(t, item, assignment, conditions, reference, candidate, setting)
    return None


def _different(
    t: Terms,
    item: Observable,
    assignment: Assignment,
    conditions: list[Term],
    reference: Behaviour,
    candidate: Behaviour,
    setting: Setting,
) -> Different:
    found = witness.shrink(assignment, conditions)
    example = witness.counterexample(t, item.name, found, reference, candidate, setting.packet)
    if setting.replay is None:
        return Different(example)
    replayed = setting.replay(example)
    if replayed is None:
        raise InternalError(
            Diagnostic(
                id="witness-not-reproduced",
                message=f"the prover says that {item.name} differs, but running the candidate does not show it",
                notes=(f"input: {example.input}", f"the prover expects of the candidate: {example.actual}"),
                help="this is a bug of bpfsmith, never a finding about your program; please report it with both inputs",
            )
        )
    return Different(replayed)
