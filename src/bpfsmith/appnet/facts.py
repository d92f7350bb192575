"""What can be read off a core program without running it: constants, what is written, which locals are draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from bpfsmith.appnet import fixed
from bpfsmith.appnet.core import (
    FLOAT,
    INT,
    UINT,
    Abort,
    Binary,
    Clock,
    Const,
    Draw,
    Element,
    Evaluate,
    Expr,
    Field,
    Item,
    Local,
    MakePair,
    MapDelete,
    MapGet,
    MapSet,
    Match,
    MessageSize,
    Nothing,
    SetField,
    SetLocal,
    SetState,
    Some,
    StateVar,
    Stmt,
    TextSize,
    TimeDiff,
    ToFloat,
    Unary,
    VecGet,
    VecSet,
    VecSize,
    Widen,
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
        case Const() | Local() | StateVar() | Draw() | Clock() | Field() | MessageSize() | VecSize():
            return ()
        case Unary(operand=operand) | ToFloat(operand=operand) | TextSize(operand=operand) | Widen(operand=operand):
            return (operand,)
        case MakePair(items=items):
            return items
        case Item(pair=pair):
            return (pair,)
        case VecGet(index=index):
            return (index,)
        case Binary(left=left, right=right):
            return (left, right)
        case TimeDiff(later=later, earlier=earlier):
            return (later, earlier)
        case MapGet(key=key):
            return (key,)


def expressions(body: Iterable[Stmt]) -> Iterator[Expr]:
    """Every expression of a body, subexpressions too, in the order of evaluation."""
    for statement in statements(body):
        for expr in own_expressions(statement):
            yield from subexpressions(expr)


def subexpressions(expr: Expr) -> Iterator[Expr]:
    for operand in operands(expr):
        yield from subexpressions(operand)
    yield expr


def own_expressions(statement: Stmt) -> tuple[Expr, ...]:
    match statement:
        case SetLocal(value=value) | SetState(value=value) | Evaluate(value=value) | SetField(value=value):
            return (value,)
        case VecSet(index=index, value=value):
            return (value,) if index is None else (index, value)
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
            case MapSet(map=name) | MapDelete(map=name) | VecSet(vec=name):
                out.add(name)
            case _:
                pass
    return frozenset(out)


def read(body: Iterable[Stmt]) -> frozenset[str]:
    """State variables that a body reads, Maps left out."""
    items = tuple(expressions(body))
    vecs = {expr.vec for expr in items if isinstance(expr, VecGet | VecSize)}
    return frozenset(expr.name for expr in items if isinstance(expr, StateVar)) | vecs


def fields_read(body: Iterable[Stmt]) -> frozenset[str]:
    """Fields of the message that a body reads."""
    return frozenset(expr.name for expr in expressions(body) if isinstance(expr, Field))


def fields_set(body: Iterable[Stmt]) -> frozenset[str]:
    """Fields of the message that a body rewrites."""
    return frozenset(statement.name for statement in statements(body) if isinstance(statement, SetField))


def answers(body: Iterable[Stmt]) -> bool:
    """Does a body refuse messages?"""
    return any(isinstance(statement, Abort) for statement in statements(body))


def needs_message(body: Iterable[Stmt]) -> bool:
    """Does a body look at the message or change it?"""
    body = tuple(body)
    sized = any(isinstance(expr, MessageSize) for expr in expressions(body))
    return sized or bool(fields_read(body) | fields_set(body))


def added_to(statement: Stmt) -> tuple[str, Expr] | None:
    """`x = x + e` (or e + x, or x - e) on an integer: ("+" or "-", e)."""
    value = statement.value if isinstance(statement, SetState) else None
    if (
        isinstance(statement, SetState)
        and isinstance(value, Binary)
        and value.op in ("add", "sub")
        and value.type in (INT, UINT)
    ):
        if _is_state(value.left, statement.name):
            return ("+" if value.op == "add" else "-"), value.right
        if value.op == "add" and _is_state(value.right, statement.name):
            return "+", value.left
    return None


def _is_state(expr: Expr, name: str) -> bool:
    return isinstance(expr, StateVar) and expr.name == name


def only_added(body: Iterable[Stmt], name: str) -> bool:
    """Is a scalar never read in a body but to add to it, and never overwritten?"""
    for statement in statements(body):
        if isinstance(statement, VecSet) and statement.vec == name:
            return False
        added = added_to(statement)
        if isinstance(statement, SetState) and statement.name == name and added is None:
            return False
        adds = added is not None and isinstance(statement, SetState) and statement.name == name
        values = (added[1],) if added is not None and adds else own_expressions(statement)
        if any(_is_state(item, name) for value in values for item in subexpressions(value)):
            return False
    return True


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


@dataclass(frozen=True, slots=True)
class EntryCount:
    """`match get(m, k): Some(x) => set(m, k, x + e)  None => set(m, k, c)`: counting in an entry. `sign` is + or -."""

    sign: str
    amount: Expr
    first: Expr


def entry_count(statement: Stmt) -> EntryCount | None:
    """Recognises a match that only counts in an entry of a Map of integers."""
    if not (isinstance(statement, Match) and isinstance(statement.subject, MapGet) and len(statement.arms) == 2):
        return None
    lookup = statement.subject
    by_kind = {type(arm.pattern): arm for arm in statement.arms}
    some, none = by_kind.get(Some), by_kind.get(Nothing)
    if some is None or none is None or not isinstance(some.pattern, Some) or some.pattern.type not in (INT, UINT):
        return None
    sets = [only for arm in (some, none) for only in arm.body if isinstance(only, MapSet)]
    if len(sets) != 2 or len(some.body) != 1 or len(none.body) != 1 or any(has_effect(item.value) for item in sets):
        return None
    if any((item.map, item.key) != (lookup.map, lookup.key) for item in sets):
        return None
    value, first, name = sets[0].value, sets[1].value, some.pattern.name
    if not isinstance(value, Binary) or value.op not in ("add", "sub"):
        return None
    sides = [(value.left, value.right)] if value.op == "sub" else [(value.left, value.right), (value.right, value.left)]
    for old, amount in sides:
        used = any(isinstance(item, Local) and item.name == name for item in subexpressions(amount))
        if isinstance(old, Local) and old.name == name and not used:
            return EntryCount("+" if value.op == "add" else "-", amount, first)
    return None


def counted_maps(body: Iterable[Stmt]) -> frozenset[str]:
    """Maps of which a body does nothing but count in entries."""
    body = tuple(body)
    inside: set[int] = set()
    counted: set[str] = set()
    for statement in statements(body):
        if entry_count(statement) is not None and isinstance(statement, Match) and isinstance(statement.subject, MapGet):
            counted.add(statement.subject.map)
            inside |= {id(part) for arm in statement.arms for part in arm.body} | {id(statement)}
    for statement in statements(body):
        if id(statement) in inside:
            continue
        if isinstance(statement, MapSet | MapDelete):
            counted.discard(statement.map)
        if isinstance(statement, Match) and isinstance(statement.subject, MapGet):
            counted.discard(statement.subject.map)
    return frozenset(counted)


def shown(constant: Const) -> str:
    """A constant as a person would write it."""
    value = constant.value
    if isinstance(value, bytes):
        return repr(value.decode())
    if isinstance(value, bool):
        return str(value).lower()
    return str(float(value) if isinstance(value, Fraction) else value)


def constants(element: Element) -> dict[str, Const]:
    """State variables that `init` sets once, to a constant, and nothing changes afterwards."""
    changed = written((*element.req, *element.resp))
    sets: dict[str, list[Stmt]] = {}
    for statement in statements(element.init):
        if isinstance(statement, SetState):
            sets.setdefault(statement.name, []).append(statement)
    out = {}
    for item in element.state:
        if item.name in changed or item.type.name in ("Map", "Vec"):
            continue
        (only, *more) = sets.get(item.name, [None])
        if isinstance(only, SetState) and not more and only in element.init and isinstance(only.value, Const):
            out[item.name] = only.value
    return out


def with_constants(element: Element) -> Element:
    """The element with its constant state variables replaced by their values: in `req` and `resp`, and in what follows in
    `init`."""
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
    req, resp = (tuple(rewritten(item, replaced) for item in body) for body in (element.req, element.resp))
    return replace(element, req=req, resp=resp, init=tuple(init))


def rewritten(statement: Stmt, change: Callable[[Expr], Expr]) -> Stmt:
    """The statement with `change` applied to every expression in it, inner ones first."""

    def expr(old: Expr) -> Expr:
        match old:
            case Unary() | ToFloat() | TextSize() | Widen():
                return change(replace(old, operand=expr(old.operand)))
            case MakePair():
                return change(replace(old, items=tuple(map(expr, old.items))))
            case Item():
                return change(replace(old, pair=expr(old.pair)))
            case VecGet():
                return change(replace(old, index=expr(old.index)))
            case Binary():
                return change(replace(old, left=expr(old.left), right=expr(old.right)))
            case TimeDiff():
                return change(replace(old, later=expr(old.later), earlier=expr(old.earlier)))
            case MapGet():
                return change(replace(old, key=expr(old.key)))
            case _:
                return change(old)

    match statement:
        case SetLocal() | SetState() | Evaluate() | SetField():
            return replace(statement, value=expr(statement.value))
        case VecSet():
            index = None if statement.index is None else expr(statement.index)
            return replace(statement, index=index, value=expr(statement.value))
        case MapSet():
            return replace(statement, key=expr(statement.key), value=expr(statement.value))
        case MapDelete():
            return replace(statement, key=expr(statement.key))
        case Match():
            subject = expr(statement.subject)  # first, as it is evaluated first
            arms = tuple(replace(arm, body=tuple(rewritten(item, change) for item in arm.body)) for arm in statement.arms)
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
    return any(isinstance(item, Draw | Clock | MapGet | VecGet) or may_divide_by_zero(item) for item in subexpressions(expr))


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
        if isinstance(constant, Const) and not isinstance(constant.value, bool | bytes):
            value = Fraction(constant.value)
            if value.denominator == 1 and 0 < value < 1 << 31:
                return "scale" if expr.op == "mul" else "shrink", other, int(value)
            raw = fixed.from_fraction(value)
            if expr.op == "mul" and 0 < raw < fixed.ONE:
                return "part", other, raw
    return None
