"""Divisions: which divisors are never zero, so that nothing needs to guard against it, and which always are.

A division by zero aborts the step. Whether one can happen is asked of the solver, with what the path and the invariant say:
under `match n > 0`, or of `max(n, 1)`, it cannot.
"""

from __future__ import annotations

from dataclasses import replace

from bpfsmith.appnet import core, facts, meaning
from bpfsmith.appnet.evaluation import Actions, Plan, Watch
from bpfsmith.appnet.layout import layout_apart
from bpfsmith.diagnostic import Diagnostic, InputError, Label
from bpfsmith.semantics.cut import light
from bpfsmith.semantics.solver import Limits, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import Terms
from bpfsmith.source import Span

_LIMITS = Limits(bitwuzla_steps=5_000, solver="bitwuzla")


def discharged(element: core.Element) -> core.Element:
    """The element with every division marked whose divisor cannot be zero. Raises InputError for one that always divides by
    zero."""
    safe: set[Span] = set()
    for name in ("init", *element.steps):
        if any(facts.may_divide_by_zero(expr) for expr in facts.expressions(element.body(name))):
            safe |= _never_zero(element, name)
    if not safe:
        return element

    def marked(expr: core.Expr) -> core.Expr:
        return replace(expr, guarded=True) if isinstance(expr, core.Binary) and expr.span in safe else expr

    init, req, resp = (
        tuple(facts.rewritten(statement, marked) for statement in body) for body in (element.init, element.req, element.resp)
    )
    return replace(element, init=init, req=req, resp=resp)


def _never_zero(element: core.Element, body: str) -> set[Span]:
    t = Terms()
    watch = Watch()
    step = meaning.behaviour(t, element, layout_apart(element, body), Plan(), Actions(0, 1), body, watch=watch)
    out: set[Span] = set()
    for trap in watch.traps:
        if _is_zero(trap.expr.right) or (body == "init" and trap.condition is t.true):
            raise InputError(_always_zero(trap.expr, body))
        if isinstance(satisfiable(light(t, [*step.preconditions, trap.condition]), _LIMITS), Unsatisfiable):
            out.add(trap.expr.span)
    return out


def _is_zero(expr: core.Expr) -> bool:
    return isinstance(expr, core.Const) and not expr.value


def _always_zero(expr: core.Binary, body: str) -> Diagnostic:
    return Diagnostic(
        "division-by-zero",
        "the divisor is always zero",
        Label(expr.right.span, "this is zero"),
        notes=(f"a division by zero aborts the step: {body} could do nothing else",),
        help="divide by something else, or write what is meant without a division",
    )
