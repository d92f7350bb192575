"""What can be read off a core program without running it: constants, what is written, which locals are draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from bpfsmith.appnet import fixed
from bpfsmith.appnet.core import (
    FLOAT,
    Arm,
    Binary,
    Clock,
    Const,
    Draw,
    Element,
    Evaluate,
    Expr,
    Local,
    MapDelete,
    MapGet,
    MapSet,
    Match,
    SetLocal,
    SetState,
    StateVar,
    Stmt,
    TimeDiff,
    ToFloat,
    Unary,
)


def statements(body: Iterable[Stmt]) -> Iterator[Stmt]:
    """Every statement of a body, nested ones too, in text order."""
    for statement in body:
        yield statement
        if isinstance(statement, Match):
            for arm in statement.arms:
                yield from statements(arm.body)


def operands(expr: Expr) -> tuple[Expr, ...]:
    """The direct subexpressions, in the order of evaluation."""
    match expr:
        case Const() | Local() | StateVar() | Draw() | Clock():
            return ()
        case Unary(operand=operand) | ToFloat(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case TimeDiff(later=later, earlier=earlier):
            return (later, earlier)
        case MapGet(key=key):
            return (key,)


def expressions(body: Iterable[Stmt]) -> Iterator[Expr]:
    """Every expression of a body, subexpressions too, in the order of evaluation."""
    for statement in statements(body):
        for expr in _own(statement):
            yield from subexpressions(expr)


def subexpressions(expr: Expr) -> Iterator[Expr]:
    for operand in operands(expr):
        yield from subexpressions(operand)
    yield expr


def _own(statement: Stmt) -> tuple[Expr, ...]:
    match statement:
        case SetLocal(value=value) | SetState(value=value) | Evaluate(value=value):
            return (value,)
        case MapSet(key=key, value=value):
            return (key, value)
        case MapDelete(key=key):
            return (key,)
        case Match(subject=subject):
            return (subject,)
        case _:
            return ()


def written(body: Iterable[Stmt]) -> frozenset[str]:
    """State variables (scalars and maps) that a body may change."""
    out: set[str] = set()
    for statement in statements(body):
        match statement:
            case SetState(name=name):
                out.add(name)
            case MapSet(map=name) | MapDelete(map=name):
                out.add(name)
            case _:
                pass
    return frozenset(out)


def read(body: Iterable[Stmt]) -> frozenset[str]:
    """Scalar state variables that a body reads."""
    return frozenset(expr.name for expr in expressions(body) if isinstance(expr, StateVar))


@dataclass(frozen=True, slots=True)
class DrawRange:
    low: Fraction
    high: Fraction


def draw_locals(body: Iterable[Stmt]) -> dict[str, DrawRange]:
    """Locals that hold nothing but draws of one range: comparing one of them is comparing the draw itself."""
    ranges: dict[str, set[DrawRange | None]] = {}
    for statement in statements(body):
        if isinstance(statement, SetLocal):
            value = statement.value
            found = DrawRange(value.low, value.high) if isinstance(value, Draw) else None
            ranges.setdefault(statement.name, set()).add(found)
    out = {}
    for name, found_ranges in ranges.items():
        (first, *rest) = found_ranges
        if not rest and first is not None:
            out[name] = first
    return out


def constants(element: Element) -> dict[str, Const]:
    """State variables that `init` sets once, to a constant, and nothing changes afterwards."""
    changed = written(element.req)
    sets: dict[str, list[Stmt]] = {}
    for statement in statements(element.init):
        if isinstance(statement, SetState):
            sets.setdefault(statement.name, []).append(statement)
    out = {}
    for item in element.state:
        if item.name in changed or item.type.name == "Map":
            continue
        (only, *more) = sets.get(item.name, [None])
        if isinstance(only, SetState) and not more and only in element.init and isinstance(only.value, Const):
            out[item.name] = only.value
    return out


def with_constants(element: Element) -> Element:
    """The element with its constant state variables replaced by their values in `req`."""
    known = constants(element)
    return replace(element, req=tuple(_statement(item, known) for item in element.req))


def _statement(statement: Stmt, known: dict[str, Const]) -> Stmt:
    match statement:
        case SetLocal() | SetState() | Evaluate():
            return replace(statement, value=_expr(statement.value, known))
        case MapSet():
            return replace(statement, key=_expr(statement.key, known), value=_expr(statement.value, known))
        case MapDelete():
            return replace(statement, key=_expr(statement.key, known))
        case Match():
            arms = tuple(
                Arm(arm.pattern, tuple(_statement(item, known) for item in arm.body), arm.span) for arm in statement.arms
            )
            return replace(statement, subject=_expr(statement.subject, known), arms=arms)
        case _:
            return statement


def _expr(expr: Expr, known: dict[str, Const]) -> Expr:
    match expr:
        case StateVar(name=name) if name in known:
            return replace(known[name], span=expr.span)
        case Unary() | ToFloat():
            return replace(expr, operand=_expr(expr.operand, known))
        case Binary():
            return replace(expr, left=_expr(expr.left, known), right=_expr(expr.right, known))
        case TimeDiff():
            return replace(expr, later=_expr(expr.later, known), earlier=_expr(expr.earlier, known))
        case MapGet():
            return replace(expr, key=_expr(expr.key, known))
        case _:
            return expr


def may_divide_by_zero(expr: Expr) -> bool:
    """Is this a division whose divisor is not a constant other than zero?"""
    return isinstance(expr, Binary) and expr.op in ("div", "rem") and not (isinstance(expr.right, Const) and expr.right.value)


def has_effect(expr: Expr) -> bool:
    """Does evaluating it do more than give a value: draw, read the clock, or possibly divide by zero?"""
    return any(isinstance(item, Draw | Clock | MapGet) or may_divide_by_zero(item) for item in subexpressions(expr))


def long_arithmetic(body: Iterable[Stmt]) -> list[Binary]:
    """The products and quotients of floats that are compiled on their own (`fixed.Operation.opaque`)."""
    found = [
        expr for expr in expressions(body) if isinstance(expr, Binary) and expr.op in ("mul", "div") and expr.type == FLOAT
    ]
    return [expr for expr in found if (simple := simple_factor(expr)) is None or fixed.OPERATIONS[f"fx_{simple[0]}"].opaque]


def long_arithmetic_operands(body: Iterable[Stmt]) -> frozenset[str]:
    """The variables that long arithmetic is done with."""
    sides = [side for expr in long_arithmetic(body) for side in (expr.left, expr.right)]
    return frozenset(side.name for side in sides if isinstance(side, Local | StateVar))


def simple_factor(expr: Expr) -> tuple[str, Expr, int] | None:
    """A float times or divided by a constant that needs no general product or quotient: (scale, shrink or part, as `fixed`
    calls them; the other operand; the constant as that operation takes it)."""
    if not (isinstance(expr, Binary) and expr.op in ("mul", "div") and expr.type == FLOAT):
        return None
    sides = [(expr.left, expr.right)] if expr.op == "div" else [(expr.left, expr.right), (expr.right, expr.left)]
    for other, constant in sides:
        if isinstance(constant, Const) and not isinstance(constant.value, bool | str):
            value = Fraction(constant.value)
            if value.denominator == 1 and 0 < value < 1 << 31:
                return "scale" if expr.op == "mul" else "shrink", other, int(value)
            raw = fixed.from_fraction(value)
            if expr.op == "mul" and 0 < raw < fixed.ONE:
                return "part", other, raw
    return None
