"""Proof that a function may take the place of another: both are run together, whatever they call and however they loop.

What is compared at every pair of blocks that are reached together: the stores to memory that others can see, every call with
its arguments and the stack that it may read, the branches, and the result. It covers all instructions and all helpers, because
a call is only asked to be the same call. (`semantics`, which knows what helpers do, proves more, and of fewer programs.)
"""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.flow import End, Entry, Flow, Mismatch
from bpfsmith.optimize.graph import Graph
from bpfsmith.optimize.state import Event, TooHard
from bpfsmith.optimize.values import Values
from bpfsmith.semantics.solver import QUICK, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import Term, Terms


@dataclass(frozen=True, slots=True)
class Simulated:
    """Proved: `pairs` of blocks were compared."""

    pairs: int


@dataclass(frozen=True, slots=True)
class NotSimulated:
    """Not proved, which does not mean that the functions differ; `detail` says where they part."""

    detail: str


def simulate(reference: Graph, candidate: Graph, around: Surroundings) -> Simulated | NotSimulated:
    """May `candidate` take the place of `reference`?"""
    flow = Flow(Values(), ((reference, around), (candidate, around)), follow=True)
    try:
        flow.run()
        for key, entry in flow.entries.items():
            _compare(flow, key, entry, around)
    except (TooHard, Mismatch) as reason:
        return NotSimulated(str(reason))
    return Simulated(len(flow.entries))


def _compare(flow: Flow, key: tuple[int, ...], entry: Entry, around: Surroundings) -> None:
    if key in flow.split:
        return  # its cases are compared
    seen: list[list[Event]] = []
    ends: list[End] = []
    for side, number in enumerate(key[:2]):
        events: list[Event] = []
        state = entry.states[side].copy()
        ends.append(flow.through(side, number, state, entry.facts, events, flow.tag(key)))
        seen.append(events)
    t = flow.values.t
    left, right = (_normal(flow.values, events) for events in seen)
    if len(left) != len(right):
        raise Mismatch(f"blocks {key}: {len(left)} and {len(right)} visible steps")
    for a, b in zip(left, right, strict=True):
        _same_event(t, key, a, b, entry.facts)
    if ends[0].kind == "exit" and around.returns:
        a_result, b_result = ends[0].result, ends[1].result
        a_result, b_result = (item and t.extract(item, 64, around.result_bits - 1, 0) for item in (a_result, b_result))
        if a_result is not None:
            _same(t, key, "the result", a_result, b_result, entry.facts)


def _normal(values: Values, events: list[Event]) -> list[Event]:
    """Stores to places that cannot overlap, between the same two steps, in an order of their own."""
    out: list[Event] = []
    run: list[Event] = []

    def close() -> None:
        bases = [event[1] for event in run]
        apart = all(
            isinstance(a, Term) and isinstance(b, Term) and not values.kinds.may_overlap(a, b)
            for i, a in enumerate(bases)
            for b in bases[i + 1 :]
        )
        out.extend(sorted(run, key=lambda event: event[1].ident if isinstance(event[1], Term) else 0) if apart else run)
        run.clear()

    for event in events:
        if event[0] == "stores":
            run.append(event)
        else:
            close()
            out.append(event)
    close()
    return out


def _same_event(t: Terms, key: tuple[int, ...], a: Event, b: Event, facts: frozenset[Term]) -> None:
    if len(a) != len(b):
        raise Mismatch(f"blocks {key}: {a[0]} with {len(a)} and {len(b)} parts")
    for x, y in zip(a, b, strict=True):
        _same_part(t, key, str(a[0]), x, y, facts)


def _same_part(t: Terms, key: tuple[int, ...], what: str, x: object, y: object, facts: frozenset[Term]) -> None:
    if isinstance(x, Term):
        _same(t, key, what, x, y if isinstance(y, Term) else None, facts)
    elif isinstance(x, tuple) and isinstance(y, tuple) and len(x) == len(y):
        for inner_x, inner_y in zip(x, y, strict=True):
            _same_part(t, key, what, inner_x, inner_y, facts)
    elif x is None:
        return  # a register without a value, which nobody reads
    elif x != y:
        raise Mismatch(f"blocks {key}: {what}: {x} and {y}")


def _same(t: Terms, key: tuple[int, ...], what: str, x: Term, y: Term | None, facts: frozenset[Term]) -> None:
    if x is y:
        return
    if y is None or x.width != y.width:
        raise Mismatch(f"blocks {key}: {what}: {x!r} and {y!r}")
    if not isinstance(satisfiable([*facts, t.negate(t.same(x, y))], QUICK), Unsatisfiable):
        raise Mismatch(f"blocks {key}: {what}: {x!r} and {y!r}")
