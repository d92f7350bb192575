"""The untyped tree of an AppNet program, as written: every node knows its place, nothing is resolved yet.

`parse.parse` makes it and `typecheck.check` turns it into `core`. The whole grammar has a node here, also the constructs that
the type checker refuses, so that a refusal can point at the construct instead of calling it a syntax error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from bpfsmith.source import SourceText, Span


# --- types and annotations ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class TypeName:
    """A type as written: `int`, `Map<int, float>`; the name of `<T, U>` is Pair."""

    name: str
    args: tuple[TypeName, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Annotation:
    """`@name(arguments)` before a state variable or an arm."""

    name: str
    arguments: tuple[str, ...]
    span: Span = field(compare=False)


# --- expressions ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Number:
    """An int literal (value is an int) or a float literal (value is a Fraction, exact from its decimal text)."""

    value: int | Fraction
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    value: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Truth:
    value: bool
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier, `_` and `None` included."""

    name: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    function: Name
    arguments: tuple[Expr, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Tuple:
    """`(a, b)`, two items or more."""

    items: tuple[Expr, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`op` is `-` or `not`."""

    op: str
    operand: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """`op` is one of `+ - * / % and or`."""

    op: str
    left: Expr
    right: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """`a < b`; `chained` where the left operand is itself a comparison without parentheses, as in `a < b < c`."""

    op: str
    left: Expr
    right: Expr
    chained: bool
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Lambda:
    parameters: tuple[str, ...]
    body: tuple[Stmt, ...]
    span: Span = field(compare=False)


Expr = Number | Text | Truth | Name | Call | Tuple | Unary | Binary | Compare | Lambda


# --- statements ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Pass:
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Assign:
    """`target = value`; the type checker sees to it that the target is a name."""

    target: Expr
    value: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class ExprStmt:
    """An expression as a statement; `send`, `set`, `delete` and `foreach` are calls like any other here."""

    value: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Arm:
    """`pattern => body`; `span` is the pattern's, which is kept as an expression until the type checker has seen it."""

    pattern: Expr
    body: tuple[Stmt, ...]
    annotations: tuple[Annotation, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Match:
    """`span` is the heading's, without the arms."""

    subject: Expr
    arms: tuple[Arm, ...]
    span: Span = field(compare=False)


Stmt = Pass | Assign | ExprStmt | Match


# --- programs ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Declaration:
    """One line of `state:`; `span` is the name's."""

    name: str
    type: TypeName
    annotations: tuple[Annotation, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Section:
    """`state:` (has declarations) or a body `init():`, `req(rpc):`, `resp(rpc):` (has statements); `span` is the heading's."""

    kind: str
    parameter: str
    declarations: tuple[Declaration, ...]
    body: tuple[Stmt, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Program:
    """The sections of one file, each there once and in order; `resp` is None when it is left out."""

    source: SourceText
    state: Section
    init: Section
    req: Section
    resp: Section | None


def children(node: Expr | Stmt | Arm) -> tuple[Expr | Stmt | Arm, ...]:
    """The parts of a node in text order."""
    match node:
        case Number() | Text() | Truth() | Name() | Pass():
            return ()
        case Call():
            return node.arguments
        case Tuple():
            return node.items
        case Unary():
            return (node.operand,)
        case Binary() | Compare():
            return (node.left, node.right)
        case Lambda():
            return node.body
        case Assign():
            return (node.target, node.value)
        case ExprStmt():
            return (node.value,)
        case Arm():
            return (node.pattern, *node.body)
        case Match():
            return (node.subject, *node.arms)
