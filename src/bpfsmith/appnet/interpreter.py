"""The reference interpreter of core AppNet: one step of `init`, `req` or `resp` on plain Python values.

It says what a program does without solver, compiler or kernel, and is the second witness for all three. Floats are whatever
the `Numbers` handed in make of them; everything else has one meaning (see docs of the language): ints wrap at 32 bits, `/`
truncates toward zero, `and` and `or` evaluate their right side only where the left one does not decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Generic, assert_never

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.numbers import WORDS, N, Numbers
from bpfsmith.appnet.wire import Message

DIVISION_BY_ZERO = "division by zero"
MAP_FULL = "map full"

StateValues = Mapping[str, Any]
"""The state by variable: bool for bool, int for int, uint and Instant (ns), bytes for string, a tuple for a pair, a number of
the `Numbers` for float; for a Map a mapping from its keys to its values, for a Vec a list of its items."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did.

    `message` is the reason of an abort, else None. `fault` is empty, or names the precondition that the step met broken: then
    it aborts with that message, and the state is as it was before the step. `draws` and `clocks` count what was consumed.
    """

    forwarded: bool
    message: str | None
    state: dict[str, Any]
    draws: int
    clocks: int
    fault: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the message, that were rewritten


def initial_state(element: core.Element, numbers: Numbers[N]) -> dict[str, Any]:
    """The state before `init` runs: zeros, false, the instant 0, empty texts, Maps and Vecs."""
    return {item.name: _zero(item.type, numbers) for item in element.state}


def _zero(kind: core.Type, numbers: Numbers[N]) -> Any:
    match kind.name:
        case "Map":
            return {}
        case "Vec":
            return []
        case "string":
            return b""
        case "Pair":
            return tuple(_zero(part, numbers) for part in kind.args)
        case "bool":
            return False
        case "float":
            return numbers.from_fraction(Fraction(0))
        case _:
            return 0


def run(
    element: core.Element,
    body: str,
    state: StateValues,
    draws: Iterator[int],
    clock: Iterator[int],
    numbers: Numbers[N],
    message: Message | None = None,
) -> StepResult:
    """Runs `body` ("req", "resp" or "init") once from `state`, which is left as it is.

    `draws` gives uniform 32-bit words and `clock` non-decreasing instants in ns, in the order in which the program asks for
    them. In steps, state variables that hold a constant for ever are read as that constant, so that a draw is compared with the
    exact probability and not with its rounding. `message` is what the step is about, where the body looks at it. Raises
    ValueError when `draws` or `clock` ends too early.
    """
    statements = element.init if body == "init" else facts.with_constants(element).body(body)
    step = _Step(element, numbers, draws, clock, _copied(state), facts.draw_locals(statements), message)
    try:
        step.block(statements)
    except _Ended as end:
        return StepResult(end.message is None, end.message, step.state, step.drawn, step.read, "", step.written)
    except _Fault as fault:
        return StepResult(False, fault.reason, _copied(state), step.drawn, step.read, fault.reason)
    return StepResult(True, None, step.state, step.drawn, step.read, "", step.written)


def _copied(state: StateValues) -> dict[str, Any]:
    def copied(value: Any) -> Any:
        return dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, list) else value

    return {name: copied(value) for name, value in state.items()}


class _Ended(Exception):
    """A path ended by Forward (no message) or Abort."""

    def __init__(self, message: str | None) -> None:
        super().__init__(message)
        self.message = message


class _Fault(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Word:
    """The word behind a draw, as long as it is only compared."""

    word: int
    low: Fraction
    high: Fraction


@dataclass(slots=True)
class _Step(Generic[N]):
    element: core.Element
    numbers: Numbers[N]
    draws: Iterator[int]
    clock: Iterator[int]
    state: dict[str, Any]
    draw_locals: Mapping[str, facts.DrawRange]
    message: Message | None = None
    written: dict[str, Any] = field(default_factory=dict)  # fields of the message
    locals: dict[str, Any] = field(default_factory=dict)
    drawn: int = 0
    read: int = 0

    # --- statements ------------------------------------------------------------------------------------------------------
    def block(self, statements: tuple[core.Stmt, ...]) -> None:
        for statement in statements:
            self._statement(statement)

    def _statement(self, statement: core.Stmt) -> None:
        match statement:
            case core.SetLocal(name, value):
                keeps_word = name in self.draw_locals and isinstance(value, core.Draw)
                self.locals[name] = self._draw(value) if keeps_word and isinstance(value, core.Draw) else self._value(value)
            case core.SetState(name, value):
                self.state[name] = self._value(value)
            case core.MapSet(name, key, value):
                self._insert(name, self._value(key), self._value(value))
            case core.MapDelete(name, key):
                self.state[name].pop(self._value(key), None)
            case core.VecSet(name, index, value):
                items = self.state[name]
                at = len(items) if index is None else self._value(index)
                new = self._value(value)
                if 0 <= at < len(items):
                    items[at] = new
                elif at == len(items) < self.element.variable(name).max_entries:
                    items.append(new)
            case core.SetField(name, value):
                self.written[name] = self._value(value)
            case core.Evaluate(value):
                self._value(value)
            case core.Forward():
                raise _Ended(None)
            case core.Abort(message):
                raise _Ended(message)
            case core.Match():
                self._match(statement)
            case _:
                assert_never(statement)

    def _insert(self, name: str, key: Any, value: Any) -> None:
        entries = self.state[name]
        if key not in entries and len(entries) >= self.element.variable(name).max_entries:
            raise _Fault(MAP_FULL)
        entries[key] = value

    def _match(self, statement: core.Match) -> None:
        subject = statement.subject
        if isinstance(subject, core.MapGet):
            value = self.state[subject.map].get(self._value(subject.key))
        elif isinstance(subject, core.VecGet):
            items, at = self.state[subject.vec], self._value(subject.index)
            value = items[at] if 0 <= at < len(items) else None
        else:
            value = self._value(subject)
        for arm in statement.arms:
            if self._matches(arm.pattern, value):
                if isinstance(arm.pattern, core.Some):
                    self.locals[arm.pattern.name] = value
                self.block(arm.body)
                return

    def _matches(self, pattern: core.Pattern, value: Any) -> bool:
        match pattern:
            case core.Anything():
                return True
            case core.Some():
                return value is not None
            case core.Nothing():
                return value is None
            case core.Equals(constant):
                wanted = self._constant(constant)
                return bool(value == wanted) if constant.type != core.FLOAT else self.numbers.compare(value, wanted) == 0
        assert_never(pattern)

    # --- expressions -----------------------------------------------------------------------------------------------------
    def _value(self, expression: core.Expr) -> Any:
        """The value of an expression; a draw as a number."""
        match expression:
            case core.Const():
                return self._constant(expression)
            case core.Local(name):
                value = self.locals[name]
                return self._as_number(value) if isinstance(value, _Word) else value
            case core.StateVar(name):
                return self.state[name]
            case core.Unary("not", operand):
                return not self._value(operand)
            case core.Unary(_, operand, kind):
                value = self._value(operand)
                return self.numbers.neg(value) if kind == core.FLOAT else wrapped(-value, kind)
            case core.Binary("and", left, right):
                return self._value(left) and self._value(right)
            case core.Binary("or", left, right):
                return self._value(left) or self._value(right)
            case core.Binary("lt" | "le" | "gt" | "ge" | "eq" | "ne"):
                return self._comparison(expression)
            case core.Binary():
                return self._arithmetic(expression)
            case core.ToFloat(operand):
                return self.numbers.from_int(self._value(operand))
            case core.Draw():
                return self._as_number(self._draw(expression))
            case core.Clock():
                self.read += 1
                return _next(self.clock, "clock readings")
            case core.TimeDiff(later, earlier):
                first = self._value(later)
                return self.numbers.time_diff(first, self._value(earlier))
            case core.Field(name):
                assert self.message is not None
                return self.written.get(name, self.message.fields[name])
            case core.MessageSize():
                assert self.message is not None
                return self.message.size
            case core.TextSize(operand):
                return len(self._value(operand))
            case core.Widen(operand):
                return self._value(operand)
            case core.MakePair(items):
                return tuple(self._value(item) for item in items)
            case core.Item(pair, index):
                return self._value(pair)[index]
            case core.VecSize(name):
                return len(self.state[name])
            case core.MapGet() | core.VecGet():
                raise AssertionError("get() stands only as the subject of a match")
        assert_never(expression)

    def _constant(self, constant: core.Const) -> Any:
        if constant.type == core.FLOAT:
            assert not isinstance(constant.value, bytes)
            return self.numbers.from_fraction(Fraction(constant.value))
        return constant.value

    def _arithmetic(self, expression: core.Binary) -> Any:
        first, second = self._value(expression.left), self._value(expression.right)
        if expression.op in ("min", "max"):
            below = self._order(expression.type, first, second) < 0
            return first if below == (expression.op == "min") else second
        numbers = self.numbers
        if expression.type != core.FLOAT:
            return _integer(expression.op, expression.type, first, second)
        if expression.op == "div" and numbers.compare(second, numbers.from_int(0)) == 0:
            raise _Fault(DIVISION_BY_ZERO)
        operation = {"add": numbers.add, "sub": numbers.sub, "mul": numbers.mul, "div": numbers.div}[expression.op]
        return operation(first, second)

    def _order(self, kind: core.Type, first: Any, second: Any) -> int:
        return self.numbers.compare(first, second) if kind == core.FLOAT else (first > second) - (first < second)

    def _comparison(self, expression: core.Binary) -> bool:
        words = expression.op not in ("eq", "ne") and expression.left.type == core.FLOAT
        first = self._operand(expression.left) if words else self._value(expression.left)
        second = self._operand(expression.right) if words else self._value(expression.right)
        below = expression.op in ("lt", "le")
        if isinstance(first, _Word) and not isinstance(second, _Word):
            limit = self._limit(first, expression.right, second)
            if limit is not None:
                return (first.word < limit) == below
        if isinstance(second, _Word) and not isinstance(first, _Word):
            limit = self._limit(second, expression.left, first)
            if limit is not None:
                return (second.word < limit) != below
        order = self._order(expression.left.type, self._as_number(first), self._as_number(second))
        truth = {"lt": order < 0, "le": order <= 0, "gt": order > 0, "ge": order >= 0, "eq": order == 0, "ne": order != 0}
        return truth[expression.op]

    # --- draws -----------------------------------------------------------------------------------------------------------
    def _operand(self, expression: core.Expr) -> Any:
        """The value of an operand of a comparison, in which a draw is still the word that was drawn."""
        match expression:
            case core.Draw():
                return self._draw(expression)
            case core.Local(name) if isinstance(self.locals[name], _Word):
                return self.locals[name]
            case _:
                return self._value(expression)

    def _limit(self, draw: _Word, written: core.Expr, value: N) -> int | None:
        """How many words, from 0 up, count as less than `value`; None where the drawn number itself is compared.

        The word w stands for [w, w + 1) / 2**32 of the range, so `u < p` and `u <= p` are both w < limit. A constant is taken
        exactly; any other value counts exactly for draws from [0, 1), whose words fixed point can count as well.
        """
        if isinstance(written, core.Const) and not isinstance(written.value, bytes):
            return threshold(Fraction(written.value), draw.low, draw.high)
        if draw.low == 0 and draw.high == 1:
            return threshold(self.numbers.to_fraction(value), draw.low, draw.high)
        return None

    def _draw(self, draw: core.Draw) -> _Word:
        self.drawn += 1
        return _Word(_next(self.draws, "draws"), draw.low, draw.high)

    def _as_number(self, value: Any) -> Any:
        return self.numbers.uniform(value.word, value.low, value.high) if isinstance(value, _Word) else value


def threshold(bound: Fraction, low: Fraction, high: Fraction) -> int:
    """The number of words, from 0 up, whose draw from [low, high) counts as less than `bound`: 0 to 2**32, rounded up."""
    exact = (bound - low) / (high - low) * WORDS
    return max(0, min(WORDS, -(-exact.numerator // exact.denominator)))


def wrapped(value: int, kind: core.Type) -> int:
    """`value` reduced to the 32 bits of int or uint."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if kind == core.INT and value >> 31 else value


def _integer(op: str, kind: core.Type, first: int, second: int) -> int:
    """add, sub, mul, div and rem on int or uint."""
    if op in ("div", "rem") and second == 0:
        raise _Fault(DIVISION_BY_ZERO)
    match op:
        case "add":
            return wrapped(first + second, kind)
        case "sub":
            return wrapped(first - second, kind)
        case "mul":
            return wrapped(first * second, kind)
        case _:
            quotient = abs(first) // abs(second) * (1 if (first < 0) == (second < 0) else -1)
            return wrapped(quotient if op == "div" else first - quotient * second, kind)


def _next(source: Iterator[int], what: str) -> int:
    for value in source:
        return value
    raise ValueError(f"the step asks for more {what} than there are")
