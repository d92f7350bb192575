"""How numbers of different types meet: literals take the type of their partner, integers become floats, nothing else converts.

Until it meets a partner, an integer literal (and arithmetic over such literals) has the type LITERAL, which never leaves the
type checker.
"""

from __future__ import annotations

from fractions import Fraction

from bpfsmith.appnet import core
from bpfsmith.appnet.findings import Findings
from bpfsmith.source import Span

LITERAL = core.Type("integer literal")
RANGES = {core.INT: (-(2**31), 2**31 - 1), core.UINT: (0, 2**32 - 1)}
LARGEST_FLOAT = 2**31
INTEGERS = (core.INT, core.UINT, LITERAL)
NUMBERS = (*INTEGERS, core.FLOAT)


def settle(expression: core.Expr, to: core.Type, findings: Findings) -> core.Expr | None:
    """`expression` with the literals in it at type `to`; None when one does not fit, which is then reported."""
    if expression.type != LITERAL:
        return expression
    match expression:
        case core.Const(int() as value):
            return _literal(value, expression.span, to, findings)
        case core.Unary(op, operand):
            inner = settle(operand, to, findings)
            return None if inner is None else core.Unary(op, inner, to, expression.span)
        case core.Binary(op, left, right):
            if to == core.FLOAT and op in ("div", "rem"):
                _refuse_division(expression.span, findings)
                return None
            first, second = settle(left, to, findings), settle(right, to, findings)
            return None if first is None or second is None else core.Binary(op, first, second, to, expression.span)
        case _:
            raise AssertionError(f"a {type(expression).__name__} is no literal")


def settled(expression: core.Expr | None, findings: Findings) -> core.Expr | None:
    """`expression` with literals that met no partner as int."""
    if isinstance(expression, core.MakePair):
        items = tuple(item for item in (settled(part, findings) for part in expression.items) if item is not None)
        if len(items) < len(expression.items):
            return None
        return core.MakePair(items, core.Type("Pair", tuple(item.type for item in items)), expression.span)
    return None if expression is None else settle(expression, core.INT, findings)


def float_literal(value: Fraction, span: Span, findings: Findings) -> core.Expr | None:
    """A number as a float, if a float can hold it."""
    if abs(value) <= LARGEST_FLOAT:
        return core.Const(value, core.FLOAT, span)
    message = f"{float(value)!r} is out of the range of float"
    notes = ("float is fixed point here: it holds -2^31 to 2^31 (2147483648), in steps of 2^-32",)
    findings.error("literal-out-of-range", message, span, notes=notes, help="use a larger unit: seconds for ms, kB for bytes")
    return None


def _literal(value: int, span: Span, to: core.Type, findings: Findings) -> core.Expr | None:
    if to == core.FLOAT:
        return float_literal(Fraction(value), span, findings)
    low, high = RANGES[to]
    if low <= value <= high:
        return core.Const(value, to, span)
    message = f"{value} is out of the range of {to}"
    help = (
        "use uint" if to == core.INT and 0 <= value <= RANGES[core.UINT][1] else "use int" if value < 0 <= value + 2**31 else ""
    )
    findings.error("literal-out-of-range", message, span, notes=(f"{to} holds {low} to {high}",), help=help or "use a float")
    return None


def to_float(expression: core.Expr, findings: Findings) -> core.Expr | None:
    """An int or uint where a float is needed; a division in it could mean two things and is an error."""
    division = _division(expression)
    if division is not None:
        _refuse_division(division.span, findings)
        return None
    return core.ToFloat(expression, core.FLOAT, expression.span)


def _division(expression: core.Expr) -> core.Expr | None:
    match expression:
        case core.Binary("div"):
            return expression
        case core.Binary("add" | "sub" | "mul" | "rem" | "min" | "max", left, right):
            return _division(left) or _division(right)
        case core.Unary("neg", operand):
            return _division(operand)
        case _:
            return None


def _refuse_division(span: Span, findings: Findings) -> None:
    findings.error(
        "ambiguous-division",
        "an integer division stands where a float is needed",
        span,
        notes=("`/` of two integers truncates: 1 / 2 is 0",),
        help="write `float(a) / b` for the quotient, or `float(a / b)` if it shall be truncated",
    )


def coerce(expression: core.Expr, to: core.Type, findings: Findings) -> core.Expr | None:
    """`expression` as a value of type `to`, or None after reporting why it cannot be one."""
    found = expression.type
    if found == to:
        return expression
    if found == LITERAL and to in NUMBERS:
        return settle(expression, to, findings)
    if to == core.FLOAT and found in INTEGERS:
        return to_float(expression, findings)
    if found.name == "string" and to.name in ("string", "name"):
        return _text(expression, to, findings)
    if found.name == to.name == "Pair" and isinstance(expression, core.MakePair) and len(found.args) == len(to.args):
        items = [coerce(item, part, findings) for item, part in zip(expression.items, to.args, strict=True)]
        return None if None in items else core.MakePair(tuple(item for item in items if item), to, expression.span)
    if to in INTEGERS and found in INTEGERS:
        refuse_mixed(found, to, expression.span, findings)
        return None
    help = ""
    if found == core.FLOAT and to in INTEGERS:
        help = "floats do not become integers: declare the variable as float"
    elif found == core.INSTANT:
        help = "declare the variable as Instant; time_diff(later, earlier) gives seconds as a float"
    elif to == core.BOOL:
        help = "write a comparison, such as `x != 0`"
    elif to == core.INSTANT:
        help = "instants come from `current_time()` only"
    findings.error("type-mismatch", f"found {described(found)} where {described(to)} is needed", expression.span, help=help)
    return None


def _text(expression: core.Expr, to: core.Type, findings: Findings) -> core.Expr | None:
    """A string where one of another capacity is needed, or the name of a number."""
    value = expression.value if isinstance(expression, core.Const) else None
    if to.name == "name":
        numbers = dict(to.names)
        if isinstance(value, bytes) and value.decode() in numbers:
            return core.Const(numbers[value.decode()], to, expression.span)
        names = ", ".join(f"'{name}'" for name in numbers)
        findings.error("type-mismatch", "this is none of the field's names", expression.span, help=f"its names are {names}")
        return None
    if isinstance(value, bytes) and len(value) <= to.size:
        return core.Const(value, to, expression.span)
    if not isinstance(value, bytes) and expression.type.size < to.size:
        return core.Widen(expression, to, expression.span)
    size = len(value) if isinstance(value, bytes) else expression.type.size
    message = f"a string of {'' if isinstance(value, bytes) else 'up to '}{size} bytes stands where one of {to.size} is needed"
    help = f"write `@maxlen({size})` before the state variable, or let the binding admit fewer bytes"
    findings.error("text-too-long", message, expression.span, notes=("nothing is ever cut off in silence",), help=help)
    return None


def unify(left: core.Expr, right: core.Expr, findings: Findings) -> tuple[core.Expr, core.Expr] | None:
    """Two numbers at one type, which is LITERAL only when both are; None after reporting why there is none."""
    kinds = (left.type, right.type)
    if kinds[0] == kinds[1]:
        return left, right
    if set(kinds) == {core.INT, core.UINT}:
        refuse_mixed(*kinds, left.span.to(right.span), findings)
        return None
    target = core.FLOAT if core.FLOAT in kinds else next(kind for kind in kinds if kind != LITERAL)
    first, second = coerce(left, target, findings), coerce(right, target, findings)
    return None if first is None or second is None else (first, second)


def refuse_mixed(found: core.Type, needed: core.Type, span: Span, findings: Findings) -> None:
    findings.error(
        "mixed-signedness",
        f"{found} and {needed} are mixed",
        span,
        notes=("-1 as uint is 4294967295: which of the two is meant cannot be seen here",),
        help="declare both variables with the same type; literals fit either",
    )


def described(kind: core.Type) -> str:
    """A type with its article, as it stands in a message."""
    words = "string" if kind.name == "string" else str(kind)
    return f"{'an' if kind.name[0] in 'aeiouI' and kind.name != 'uint' else 'a'} {words}"


def negated(value: core.Const, span: Span) -> core.Const:
    """A literal with its minus sign, so that -2147483648 is in range."""
    assert not isinstance(value.value, bytes)
    return core.Const(-value.value, value.type, span)
