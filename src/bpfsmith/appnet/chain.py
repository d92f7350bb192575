"""Several elements as one: what the first forwards goes on to the second, responses the other way round.

The chain is an element like any other: it is written out in the core, where one forward after the other is replaced by what
follows it, and is then generated and proved as a whole. Names that two elements share get the element's name in front.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from bpfsmith.appnet import core, facts
from bpfsmith.diagnostic import Diagnostic, InputError, Label, Unsupported

MOST_COPIES = 16
"""How often what follows an element may be written out: once for every way on which it forwards before its end."""


def chained(elements: Sequence[core.Element]) -> core.Element:
    """The chain of `elements`, in this order for requests. InputError `chain-binding` for different bindings, `chain-order` for
    an element that nothing reaches; Unsupported `unsupported-chain` where it would become too large."""
    first = elements[0]
    if len(elements) == 1:
        return first
    for element in elements[1:]:
        if element.binding != first.binding:
            message = f"{element.path} has another binding than {first.path}: their messages are not the same"
            raise InputError(Diagnostic("chain-binding", message, help="name one binding for all: --bind FILE"))
    for element in elements:
        _refuse_division(element)
    for number, element in enumerate(elements[:-1]):
        if _always_ends(element.req) and not any(isinstance(item, core.Forward) for item in facts.statements(element.req)):
            message = f"{element.path} forwards no request: {elements[number + 1].path} behind it would see none"
            raise InputError(Diagnostic("chain-order", message, help="put it at the end, or leave out what stands behind it"))
    apart = _apart(elements)
    req = _sequence([element.req for element in apart], apart)
    answering = [element for element in reversed(apart) if element.resp]
    resp = _sequence([element.resp for element in answering], apart) if answering else ()
    return core.Element(
        "_".join(element.name for element in elements),
        first.path,
        tuple(item for element in apart for item in element.state),
        _numbered(tuple(statement for element in apart for statement in element.init)),
        _numbered(req),
        sum(element.line_count for element in elements),
        _numbered(resp),
        first.binding,
    )


def _refuse_division(element: core.Element) -> None:
    """A division by zero takes the whole step back, and what another element of the chain did is not to be taken back."""
    for expr in facts.expressions((*element.req, *element.resp)):
        if facts.may_divide_by_zero(expr):
            assert isinstance(expr, core.Binary)
            raise Unsupported(
                Diagnostic(
                    "unsupported-chain",
                    "a division whose divisor may be zero, in a chain of elements",
                    Label(expr.right.span, "zero is not excluded here"),
                    notes=("it would take back what the other elements have done for this message",),
                    help="guard it: match the divisor against zero first, or divide by max(x, 1)",
                )
            )


# --- names ------------------------------------------------------------------------------------------------------------
def _apart(elements: Sequence[core.Element]) -> list[core.Element]:
    """The elements without a name in common."""
    used = Counter(name for element in elements for name in {item.name for item in element.state} | set(_locals(element)))
    out: list[core.Element] = []
    for number, element in enumerate(elements):
        prefix = element.name if [item.name for item in elements].count(element.name) == 1 else f"{element.name}{number + 1}"
        own = {item.name for item in element.state} | set(_locals(element))
        names = {name: f"{prefix}_{name}" for name in own if used[name] > 1}
        out.append(_renamed(element, names))
    return out


def _locals(element: core.Element) -> Iterator[str]:
    for statement in facts.statements((*element.init, *element.req, *element.resp)):
        if isinstance(statement, core.SetLocal):
            yield statement.name
        elif isinstance(statement, core.Match):
            yield from (arm.pattern.name for arm in statement.arms if isinstance(arm.pattern, core.Some))


def _renamed(element: core.Element, names: Mapping[str, str]) -> core.Element:
    def new(name: str) -> str:
        return names.get(name, name)

    def expression(expr: core.Expr) -> core.Expr:
        match expr:
            case core.Local() | core.StateVar():
                return replace(expr, name=new(expr.name))
            case core.MapGet():
                return replace(expr, map=new(expr.map))
            case core.VecGet() | core.VecSize():
                return replace(expr, vec=new(expr.vec))
            case _:
                return expr

    def statement(old: core.Stmt) -> core.Stmt:
        match old:
            case core.SetLocal() | core.SetState():
                return replace(old, name=new(old.name))
            case core.MapSet() | core.MapDelete():
                return replace(old, map=new(old.map))
            case core.VecSet():
                return replace(old, vec=new(old.vec))
            case core.Match():
                arms = tuple(
                    replace(arm, pattern=pattern(arm.pattern), body=tuple(map(statement, arm.body))) for arm in old.arms
                )
                return replace(old, arms=arms)
            case _:
                return old

    def pattern(old: core.Pattern) -> core.Pattern:
        return replace(old, name=new(old.name)) if isinstance(old, core.Some) else old

    def body(statements: Iterable[core.Stmt]) -> tuple[core.Stmt, ...]:
        return tuple(statement(facts.rewritten(item, expression)) for item in statements)

    state = tuple(replace(item, name=new(item.name)) for item in element.state)
    return replace(element, state=state, init=body(element.init), req=body(element.req), resp=body(element.resp))


# --- one behind the other ---------------------------------------------------------------------------------------------
def _sequence(bodies: Sequence[tuple[core.Stmt, ...]], elements: Sequence[core.Element]) -> tuple[core.Stmt, ...]:
    whole: tuple[core.Stmt, ...] = bodies[-1]
    for body in reversed(bodies[:-1]):
        first = _without_last_forwards(body)
        copies = sum(isinstance(item, core.Forward) for item in facts.statements(first))
        if copies > MOST_COPIES:
            place = next(item for item in facts.statements(first) if isinstance(item, core.Forward))
            raise Unsupported(
                Diagnostic(
                    "unsupported-chain",
                    f"an element of the chain forwards at {copies} places before its end",
                    Label(place.span, "the first of them"),
                    notes=("what follows it in the chain would be written out for each of them",),
                    help="let it forward where it ends: leave the `send` out",
                )
            )
        whole = (*_continued(first, _closed(whole)), *(() if _always_ends(first) else whole))
    return whole


def _without_last_forwards(body: tuple[core.Stmt, ...]) -> tuple[core.Stmt, ...]:
    """A forward at the very end says nothing: coming to the end forwards."""
    if not body:
        return body
    last = body[-1]
    if isinstance(last, core.Forward):
        return body[:-1]
    if isinstance(last, core.Match):
        arms = tuple(replace(arm, body=_without_last_forwards(arm.body)) for arm in last.arms)
        return (*body[:-1], replace(last, arms=arms))
    return body


def _continued(body: tuple[core.Stmt, ...], following: tuple[core.Stmt, ...]) -> tuple[core.Stmt, ...]:
    """The body with `following`, which ends on every path, in the place of every forward."""
    out: list[core.Stmt] = []
    for statement in body:
        if isinstance(statement, core.Forward):
            out += following
        elif isinstance(statement, core.Match):
            arms = tuple(replace(arm, body=_continued(arm.body, following)) for arm in statement.arms)
            out.append(replace(statement, arms=arms))
        else:
            out.append(statement)
    return tuple(out)


def _closed(body: tuple[core.Stmt, ...]) -> tuple[core.Stmt, ...]:
    """The body with a forward at its end, where it comes to one."""
    if _always_ends(body):
        return body
    span = body[-1].span if body else core.NOWHERE
    return (*body, core.Forward(span))


def _always_ends(body: tuple[core.Stmt, ...]) -> bool:
    """Does no path come to the end of a body?"""
    for statement in body:
        if isinstance(statement, core.Forward | core.Abort):
            return True
        if isinstance(statement, core.Match) and _covers(statement) and all(_always_ends(arm.body) for arm in statement.arms):
            return True
    return False


def _covers(match: core.Match) -> bool:
    kinds = {type(arm.pattern) for arm in match.arms}
    truths = {arm.pattern.value.value for arm in match.arms if isinstance(arm.pattern, core.Equals)}
    return (
        core.Anything in kinds or {core.Some, core.Nothing} <= kinds or (match.subject.type == core.BOOL and len(truths) == 2)
    )


def _numbered(body: tuple[core.Stmt, ...]) -> tuple[core.Stmt, ...]:
    """The body with its draws and clock readings numbered in the order of the text."""
    draws, clocks = iter(range(1 << 16)), iter(range(1 << 16))

    def number(expr: core.Expr) -> core.Expr:
        if isinstance(expr, core.Draw):
            return replace(expr, site=next(draws))
        if isinstance(expr, core.Clock):
            return replace(expr, site=next(clocks))
        return expr

    change: Callable[[core.Expr], core.Expr] = number
    return tuple(facts.rewritten(statement, change) for statement in body)
