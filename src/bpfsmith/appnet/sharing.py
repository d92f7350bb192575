"""How the state of an element is kept whole when several CPUs run its steps at once."""

from __future__ import annotations

from enum import StrEnum

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.core import Element
from bpfsmith.appnet.shapes import is_block


class Sharing(StrEnum):
    """How the state of an element is kept whole when several CPUs run steps at once."""

    NONE = "none"  # the step does not change state
    ATOMIC = "atomic"  # counters by atomic add, at most one variable that is only overwritten
    LOCK = "lock"  # one bpf_spin_lock around the step
    MAP = "map"  # map helpers: each call is atomic, the step is not


def sharing(element: Element) -> Sharing:
    """The cheapest way that keeps every step of this element atomic: `req` and `resp` share their state."""
    body = (*element.req, *element.resp)
    changed = facts.written(body)
    if not changed:
        return Sharing.NONE
    if any(element.variable(name).type.name == "Map" for name in changed) or any(
        isinstance(expr, core.MapGet) for expr in facts.expressions(body)
    ):
        return Sharing.MAP
    if any(facts.may_divide_by_zero(expr) for expr in facts.expressions(body)):
        return Sharing.LOCK
    counted = counters(element)
    seen: set[str] = set()
    for statement in facts.statements(body):
        added = facts.added_to(statement)
        counts = added is not None and isinstance(statement, core.SetState) and statement.name in counted
        values = (added[1],) if added is not None and counts else facts.own_expressions(statement)
        seen |= {item.name for value in values for item in facts.subexpressions(value) if isinstance(item, core.StateVar)}
    long = any(element.variable(name).type.name == "Vec" or is_block(element.variable(name).type) for name in changed)
    return Sharing.LOCK if long or seen & changed or len(changed - counted) > 1 else Sharing.ATOMIC


def counters(element: Element) -> frozenset[str]:
    """Integers that every step only adds to: an atomic add keeps them whole."""
    body = (*element.req, *element.resp)
    return frozenset(name for name in facts.written(body) if facts.only_added(body, name))
