"""Core AppNet: the small, typed language that is left of a program once it is parsed and type-checked.

The front end (`parse`, `typecheck`) ends here, and everything that gives a program meaning starts here: the interpreter, the
symbolic meaning and the generator. Conversions are explicit, names are resolved, every draw has a site number, `send` has
become Forward or Abort. `/`-to-truncation, wrapping and the like are the meaning's business, not this tree's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from bpfsmith.source import Span

if TYPE_CHECKING:
    from bpfsmith.appnet.binding import Binding


@dataclass(frozen=True, slots=True)
class Type:
    """`name` is int, uint, float, bool, Instant, string, Map, Vec, Pair, Option or name; `args` are its type arguments.

    A string has at most `size` bytes. A name is a number of the message that has `names`, which a program writes as text.
    """

    name: str
    args: tuple[Type, ...] = ()
    size: int = 0
    names: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        if self.name == "string":
            return f"string of at most {self.size} bytes"
        if self.name == "name":
            return "name (" + ", ".join(name for name, _ in self.names) + ")"
        if self.name == "Pair":
            return "<" + ", ".join(map(str, self.args)) + ">"
        return self.name + ("<" + ", ".join(map(str, self.args)) + ">" if self.args else "")


NOWHERE = Span("", 1)
"""The place of what stands in no text."""

INT, UINT, FLOAT, BOOL = Type("int"), Type("uint"), Type("float"), Type("bool")
INSTANT = Type("Instant")


def text(size: int) -> Type:
    """A string of at most `size` bytes."""
    return Type("string", size=size)


# --- expressions ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Const:
    """A literal: int for int, uint and names (already in range), Fraction for float (exact), bool, bytes for string."""

    value: int | Fraction | bool | bytes
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Local:
    """The value of a local variable; the type checker has seen that it is set on every path to here."""

    name: str
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class StateVar:
    """The value of a scalar state variable."""

    name: str
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`op` is neg (int, uint, float) or not (bool)."""

    op: str
    operand: Expr
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """`op` is add sub mul div rem min max (both operands and result of one numeric type),
    lt le gt ge eq ne (operands of one type, result bool; bools and Instants compare too), or and / or (bool, short-circuit:
    the right operand is evaluated, and its draws happen, only when the left one does not decide). A `guarded` division is one
    whose divisor is proved not to be zero (`discharge`)."""

    op: str
    left: Expr
    right: Expr
    type: Type
    span: Span = field(compare=False)
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class ToFloat:
    """An int or uint as a float."""

    operand: Expr
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Draw:
    """`randomf(low, high)`: one fresh uniform real in [low, high). `site` numbers the draws of a body in program text
    order from 0. Bounds are float constants with low < high."""

    site: int
    low: Fraction
    high: Fraction
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Clock:
    """`current_time()`: a fresh non-decreasing Instant. `site` numbers the clock readings of a body in text order from 0."""

    site: int
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class TimeDiff:
    """`time_diff(later, earlier)`: seconds as a float, negative when `later` is the earlier one."""

    later: Expr
    earlier: Expr
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class MapGet:
    """`get(map, key)`: an Option of the map's value type. Stands only as the subject of a Match."""

    map: str
    key: Expr
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Field:
    """`get(rpc, 'name')`: a field of the message, as it was when the step began or as the step has set it."""

    name: str
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class MessageSize:
    """`byte_size(rpc)`: the bytes of the message."""

    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class TextSize:
    """`len(text)`: its bytes."""

    operand: Expr
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Widen:
    """A string as one of a type that holds more bytes."""

    operand: Expr
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class MakePair:
    items: tuple[Expr, ...]
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Item:
    """A part of a pair, counted from 0."""

    pair: Expr
    index: int
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class VecGet:
    """`get(vec, index)`: an Option, None from the size on. Stands only as the subject of a Match."""

    vec: str
    index: Expr
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class VecSize:
    """`size(vec)`."""

    vec: str
    type: Type
    span: Span = field(compare=False)


Lookup = MapGet | VecGet
Expr = (
    Const | Local | StateVar | Unary | Binary | ToFloat | Draw | Clock | TimeDiff | MapGet
    | Field | MessageSize | TextSize | Widen | MakePair | Item | VecGet | VecSize
)  # fmt: skip


# --- statements -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SetLocal:
    name: str
    value: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class SetState:
    name: str
    value: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class MapSet:
    """`set(map, key, value)`: key is evaluated before value."""

    map: str
    key: Expr
    value: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class MapDelete:
    map: str
    key: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class VecSet:
    """`set(vec, index, value)`: overwrites an item, or at index `size(vec)` appends one. Beyond that, and where it is full,
    nothing happens. `append` has no index: it is the size."""

    vec: str
    index: Expr | None
    value: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class SetField:
    """`set(rpc, 'name', value)`: rewrites the field in the message."""

    name: str
    value: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Evaluate:
    """An expression for its draws alone."""

    value: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Forward:
    """The RPC goes on; ends its path."""

    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Abort:
    """The RPC is refused with a message; ends its path."""

    message: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Equals:
    """Pattern: a constant of the subject's type."""

    value: Const


@dataclass(frozen=True, slots=True)
class Some:
    """Pattern `Some(name)`: binds the value as a local."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Nothing:
    """Pattern `None`."""


@dataclass(frozen=True, slots=True)
class Anything:
    """Pattern `_`."""


Pattern = Equals | Some | Nothing | Anything


@dataclass(frozen=True, slots=True)
class Arm:
    pattern: Pattern
    body: tuple[Stmt, ...]
    span: Span = field(compare=False)
    likely: bool | None = field(default=None, compare=False)  # what the author expects; it changes no meaning


@dataclass(frozen=True, slots=True)
class Match:
    """The subject is evaluated once; the first arm that matches runs; when none does, control goes on behind the match."""

    subject: Expr
    arms: tuple[Arm, ...]
    span: Span = field(compare=False)


Stmt = SetLocal | SetState | MapSet | MapDelete | VecSet | SetField | Evaluate | Forward | Abort | Match


# --- programs ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class State:
    """A state variable: a scalar, or a Map or Vec with max_entries (`sized` when the program asks for that many). Scalars start
    at zero before `init` runs, texts and Vecs empty."""

    name: str
    type: Type
    span: Span = field(compare=False)
    max_entries: int = 0
    sized: bool = False


@dataclass(frozen=True, slots=True)
class Element:
    """A whole AppNet program. A body that reaches its end without Forward or Abort forwards. `resp` is empty where responses
    pass untouched."""

    name: str
    path: str
    state: tuple[State, ...]
    init: tuple[Stmt, ...]
    req: tuple[Stmt, ...]
    line_count: int  # lines that are neither blank nor comment
    resp: tuple[Stmt, ...] = ()
    binding: Binding | None = None  # None: every packet is a message, and nothing is known of its fields

    def body(self, name: str) -> tuple[Stmt, ...]:
        """The statements of "init", "req" or "resp"."""
        return {"init": self.init, "req": self.req, "resp": self.resp}[name]

    @property
    def steps(self) -> tuple[str, ...]:
        """The bodies that run for a message: "req", and "resp" where that does anything."""
        return ("req", "resp") if self.resp else ("req",)

    def variable(self, name: str) -> State:
        """The state variable called `name`; raises KeyError."""
        for item in self.state:
            if item.name == name:
                return item
        raise KeyError(name)
