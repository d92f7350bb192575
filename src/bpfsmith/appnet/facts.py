"""What can be read off a core program without running it: constants, what is written, which locals are draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
    """The element with its constant state variables replaced by their values: in `req`, and in what follows in `init`."""
    known = constants(element)
    so_far: dict[str, Const] = {}

    def replaced(expr: Expr) -> Expr:
        return replace(known[expr.name], span=expr.span) if isinstance(expr, StateVar) and expr.name in known else expr

    def replaced_so_far(expr: Expr) -> Expr:
        return replace(so_far[expr.name], span=expr.span) if isinstance(expr, StateVar) and expr.name in so_far else expr

    init = []
    for statement in element.init:
        init.append(rewritten(statement, replaced_so_far))
        if isinstance(statement, SetState) and statement.name in known:
            so_far[statement.name] = known[statement.name]
    return replace(element, req=tuple(rewritten(item, replaced) for item in element.req), init=tuple(init))


def rewritten(statement: Stmt, change: Callable[[Expr], Expr]) -> Stmt:
    """The statement with `change` applied to every expression in it, inner ones first."""

    def expr(old: Expr) -> Expr:
        match old:
            case Unary() | ToFloat():
                return change(replace(old, operand=expr(old.operand)))
            case Binary():
                return change(replace(old, left=expr(old.left), right=expr(old.right)))
            case TimeDiff():
                return change(replace(old, later=expr(old.later), earlier=expr(old.earlier)))
            case MapGet():
                return change(replace(old, key=expr(old.key)))
            case _:
                return change(old)

    match statement:
        case SetLocal() | SetState() | Evaluate():
            return replace(statement, value=expr(statement.value))
        case MapSet():
            return replace(statement, key=expr(statement.key), value=expr(statement.value))
        case MapDelete():
            return replace(statement, key=expr(statement.key))
        case Match():
            arms = tuple(
                Arm(arm.pattern, tuple(rewritten(item, change) for item in arm.body), arm.span) for arm in statement.arms
            )
            subject = expr(statement.subject)
            return replace(statement, subject=subject, arms=arms)
        case _:
            return statement


def may_divide_by_zero(expr: Expr) -> bool:
    """Is this a division whose divisor is not known to be other than zero?"""
    if not (isinstance(expr, Binary) and expr.op in ("div", "rem")):
        return False
    return not (expr.guarded or (isinstance(expr.right, Const) and expr.right.value))


def has_effect(expr: Expr) -> bool:
    """Does evaluating it do more than give a value: draw, read the clock, or possibly divide by zero?"""
    return any(isinstance(item, Draw | Clock | MapGet) or may_divide_by_zero(item) for item in subexpressions(expr))


def long_arithmetic(body: Iterable[Stmt]) -> list[Expr]:
    """The operations on floats that are compiled on their own (`fixed.Operation.opaque`): seconds, and all but the simplest
    products and quotients."""
    out: list[Expr] = []
    for expr in expressions(body):
        if isinstance(expr, TimeDiff):
            out.append(expr)
        if isinstance(expr, Binary) and expr.op in ("mul", "div") and expr.type == FLOAT:
            simple = simple_factor(expr)
            if simple is None or fixed.OPERATIONS[f"fx_{simple[0]}"].opaque:
                out.append(expr)
    return out


def long_arithmetic_operands(body: Iterable[Stmt]) -> frozenset[str]:
    """The variables of type float that long arithmetic is done with."""
    sides = [side for expr in long_arithmetic(body) if isinstance(expr, Binary) for side in operands(expr)]
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
