"""Probe programs as values.

    probe uprobe:./server:handle(req, len) {
        filter len > 64;
        let t = now();
        on return {
            hist latency_us = (now() - t) / us by ret;
            if (now() - t > 10 * ms) { emit slow(us = (now() - t) / us, len = len); }
        }
    }

What two events share by an object is written `on tp_btf:EVENT(args) by OBJECT { .. }` in the place of `on return`.

Numbers are signed 64-bit and wrap; a division rounds towards zero, and by zero gives zero, as eBPF has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from bpfsmith.source import Span


class ProbeKind(StrEnum):
    UPROBE, SYSCALL, TRACEPOINT = "uprobe", "syscall", "tracepoint"
    TP_BTF, KPROBE, FENTRY = "tp_btf", "kprobe", "fentry"


CASTS = {f"{sign}int{bits}": (bits // 8, not sign) for sign in ("", "u") for bits in (8, 16, 32)}
"""Functions that keep the low bytes of a number: how many, and whether they are signed."""


@dataclass(frozen=True, slots=True)
class Number:
    span: Span
    value: int


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal."""

    span: Span
    value: str


@dataclass(frozen=True, slots=True)
class Name:
    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    span: Span
    function: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """`object->name`."""

    span: Span
    object: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    span: Span
    operator: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary:
    span: Span
    operator: str
    left: Expr
    right: Expr


Expr = Number | Text | Name | Call | Field | Unary | Binary


class Kind(StrEnum):
    """What an aggregate keeps."""

    COUNT, SUM, MIN, MAX, HIST, LHIST = "count", "sum", "min", "max", "hist", "lhist"


@dataclass(frozen=True, slots=True)
class Filter:
    span: Span
    condition: Expr


@dataclass(frozen=True, slots=True)
class Let:
    span: Span
    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`hist NAME = VALUE by KEYS`; a count has no value. Linear histograms have their range and step."""

    span: Span
    kind: Kind
    name: str
    value: Expr | None
    keys: tuple[Expr, ...]
    low: int = 0
    high: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Emit:
    """`emit NAME(label = value, ..)`: one record to userspace."""

    span: Span
    name: str
    fields: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class If:
    span: Span
    condition: Expr
    then: tuple[Statement, ...]
    other: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class OnReturn:
    span: Span
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class OnEvent:
    """`on KIND:TARGET(..) by KEY = ENTRY_KEY { .. }`: another event, for the object that the way in was about. `place` is
    where, with the statements there; `key` is read there, `entry_key` on the way in (the same where only one is written)."""

    span: Span
    place: Probe
    key: Expr
    entry_key: Expr


Statement = Filter | Let | Aggregate | Emit | If | OnReturn | OnEvent


@dataclass(frozen=True, slots=True)
class Probe:
    """`path` is a uprobe's file ("" for the traced command's own), `target` the function, system call or event."""

    span: Span
    kind: ProbeKind
    path: str
    target: str
    params: tuple[str, ...]
    body: tuple[Statement, ...]

    @property
    def entry(self) -> tuple[Statement, ...]:
        return tuple(item for item in self.body if not isinstance(item, OnReturn | OnEvent))

    @property
    def on_return(self) -> tuple[Statement, ...] | None:
        return next((item.body for item in self.body if isinstance(item, OnReturn)), None)

    @property
    def on_event(self) -> OnEvent | None:
        return next((item for item in self.body if isinstance(item, OnEvent)), None)


@dataclass(frozen=True, slots=True)
class ProbeFile:
    path: str
    probes: tuple[Probe, ...]
    text: str = field(default="", compare=False)


def expressions(statement: Statement) -> tuple[Expr, ...]:
    """The expressions that a statement holds itself, not those of statements inside."""
    match statement:
        case Filter(condition=condition) | If(condition=condition):
            return (condition,)
        case Let(value=value):
            return (value,)
        case Aggregate(value=value, keys=keys):
            return (*((value,) if value is not None else ()), *keys)
        case Emit(fields=fields):
            return tuple(value for _, value in fields)
        case OnReturn() | OnEvent():
            return ()


def names_in(expr: Expr) -> set[str]:
    """The names that an expression reads."""
    match expr:
        case Name(name=name):
            return {name}
        case Call(args=args):
            return set().union(*map(names_in, args)) if args else set()
        case Field(object=inner) | Unary(operand=inner):
            return names_in(inner)
        case Binary(left=left, right=right):
            return names_in(left) | names_in(right)
        case Number() | Text():
            return set()


def all_statements(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """The statements of a body and of the branches in it, ways out left out."""
    out: list[Statement] = []
    for item in body:
        if isinstance(item, OnReturn | OnEvent):
            continue
        out.append(item)
        if isinstance(item, If):
            out += [*all_statements(item.then), *all_statements(item.other)]
    return tuple(out)
