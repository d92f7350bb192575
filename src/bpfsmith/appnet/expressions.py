"""Expressions checked: names resolved, literals given their types, conversions made explicit, draws numbered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from bpfsmith.appnet import core, syntax
from bpfsmith.appnet.binding import Binding, Field
from bpfsmith.appnet.declarations import State
from bpfsmith.appnet.findings import Findings, did_you_mean
from bpfsmith.appnet.numeric import (
    LITERAL,
    NUMBERS,
    RANGES,
    coerce,
    described,
    float_literal,
    negated,
    settle,
    settled,
    unify,
)
from bpfsmith.appnet.scope import Flow, Variable
from bpfsmith.appnet.shapes import DEFAULT_TEXT, LONGEST_TEXT
from bpfsmith.diagnostic import Label
from bpfsmith.source import Span

ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "rem"}
COMPARISONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}

USAGE = {
    "min": "min(a, b)",
    "max": "max(a, b)",
    "randomf": "randomf(low, high)",
    "current_time": "current_time()",
    "time_diff": "time_diff(later, earlier)",
    "float": "float(x)",
    "get": "get(map, key)",
    "set": "set(map, key, value)",
    "delete": "delete(map, key)",
    "size": "size(vec)",
    "len": "len(x)",
    "append": "append(vec, value)",
    "byte_size": "byte_size(rpc)",
    "rpc_id": "rpc_id(rpc)",
    "send": "send(rpc, Pass)",
}
"""Functions that are translated, each as it is called."""

_FOREIGN = {
    "encrypt": "the kernel offers eBPF no cipher for a packet's payload at these hooks",
    "decrypt": "the kernel offers eBPF no cipher for a packet's payload at these hooks",
    "compress": "the kernel offers eBPF no compression",
    "decompress": "the kernel offers eBPF no compression",
    "get_backends": "the list of backends comes from a manager over HTTP, which an eBPF program cannot ask",
    "random_choices": "it chooses from a list that is known only at run time",
    "random_choice": "it chooses from a list that is known only at run time",
    "randomi": "the language has `randomf` only",
    "hash": "which hash is meant cannot be seen here",
}
_INSTEAD = {
    "get_backends": "keep the backends in a Map that userspace fills, and look them up with `get`",
    "random_choices": "draw with `randomf(0.0, 1.0)` and match on the ranges",
    "random_choice": "draw with `randomf(0.0, 1.0)` and match on the ranges",
    "randomi": "write `randomf(low, high)`",
}


@dataclass(slots=True)
class Expressions:
    """Checks the expressions of one body. A result of None means: a mistake in it is reported already."""

    findings: Findings
    state: State
    constants: Mapping[str, Fraction]
    """State variables that keep one value for ever; bounds of draws may name them."""
    message: str = ""
    """The handler's parameter, which stands for the message; empty in `init`."""
    kind: str = "init"
    """Which body it is: the fields of requests and of responses may differ."""
    binding: Binding | None = None
    variables: dict[str, Variable] = field(default_factory=dict)
    flow: Flow = field(default_factory=Flow)
    draws: int = 0
    clocks: int = 0

    def value(self, expression: syntax.Expr, to: core.Type | None = None) -> core.Expr | None:
        """`expression` as a value of type `to`, or, without `to`, of the type it has by itself."""
        found = self.check(expression)
        if found is None:
            return None
        return settled(found, self.findings) if to is None else coerce(found, to, self.findings)

    def check(self, expression: syntax.Expr) -> core.Expr | None:
        """`expression` at its own type; integer literals may still have the type LITERAL."""
        match expression:
            case syntax.Number(int() as value, span):
                return core.Const(value, LITERAL, span)
            case syntax.Number(value, span):
                return float_literal(Fraction(value), span, self.findings)
            case syntax.Truth(value, span):
                return core.Const(value, core.BOOL, span)
            case syntax.Name():
                return self._name(expression)
            case syntax.Call():
                return self._call(expression)
            case syntax.Unary():
                return self._unary(expression)
            case syntax.Binary("and" | "or"):
                left, right = self.value(expression.left, core.BOOL), self.value(expression.right, core.BOOL)
                if left is None or right is None:
                    return None
                return core.Binary(expression.op, left, right, core.BOOL, expression.span)
            case syntax.Binary():
                return self._arithmetic(ARITHMETIC[expression.op], expression.left, expression.right, expression.span)
            case syntax.Compare():
                return self._comparison(expression)
            case syntax.Text(value, span):
                return self._text(value, span)
            case syntax.Tuple():
                return self._pair(expression)
            case syntax.Lambda(_, _, span):
                message, help = "a lambda is no value", "it stands only in `foreach(vec, lambda(x): ..)`"
                self.findings.error("wrong-arguments", message, span, help=help)
                return None

    def _text(self, value: str, span: Span) -> core.Expr | None:
        data = value.encode()
        if len(data) > LONGEST_TEXT:
            help = f"a string has at most {LONGEST_TEXT} bytes"
            self.findings.error("text-too-long", f"this text has {len(data)} bytes", span, help=help)
            return None
        return core.Const(data, core.text(max(len(data), DEFAULT_TEXT)), span)

    def _pair(self, expression: syntax.Tuple) -> core.Expr | None:
        items = [self.check(item) for item in expression.items]
        known = tuple(item for item in items if item is not None)
        if len(known) < len(items):
            return None
        return core.MakePair(known, core.Type("Pair", tuple(item.type for item in known)), expression.span)

    # --- names -----------------------------------------------------------------------------------------------------------
    def _name(self, expression: syntax.Name) -> core.Expr | None:
        name, span = expression.name, expression.span
        if name in self.state:
            return self._state(name, span)
        if name == self.message:
            help = f"it stands only in `send({name}, ..)`"
            self.findings.error("type-mismatch", f"`{name}` is the message, which is no value", span, help=help)
            return None
        variable = self.variables.get(name)
        if name not in self.flow.known_set:
            self._refuse_unset(name, span, variable)
            return None
        if variable is None or variable.type is None:
            return None
        if variable.lookup is not None:
            self.refuse_option(f"`{name}` holds the Option that `get` gave", span)
            return None
        return core.Local(variable.core_name, variable.type, span)

    def _state(self, name: str, span: Span) -> core.Expr | None:
        declared = self.state[name]
        if declared is None:
            return None
        if declared.type.name == "Map":
            help = f"match on `get({name}, key)`"
            self.findings.error("type-mismatch", f"`{name}` is a Map, which is no value by itself", span, help=help)
            return None
        return core.StateVar(name, declared.type, span)

    def _refuse_unset(self, name: str, span: Span, variable: Variable | None) -> None:
        reason = self.flow.unset_because.get(name)
        if reason is None and variable is not None:
            reason = Label(variable.span, "it is set here, which does not lead to the use")
        if reason is not None:
            message = f"`{name}` may be used before it is set"
            help = f"set `{name}` before the match, or in every arm"
            self.findings.error("maybe-unset", message, span, others=(reason,), help=help)
            return
        if name in ("None", "Some", "_"):
            message, help = f"`{name}` is a pattern, which is no value", "it stands only before the `=>` of an arm"
        elif name in ("Up", "Down", "Pass", "Drop"):
            message, help = f"`{name}` is a direction, which is no value", "it stands only in `send(rpc, ..)`"
        else:
            message = f"there is no variable `{name}` here"
            help = did_you_mean(name, (*self.state, *sorted(self.flow.known_set), "true", "false"))
            help = help or f"assign to `{name}` first, or declare it in `state:`"
        self.findings.error("unknown-name", message, span, help=help)

    def refuse_option(self, what: str, span: Span) -> None:
        self.findings.error(
            "unsupported-option-value",
            f"{what}, which is no value by itself",
            span,
            notes=("the key may be missing from the Map",),
            help="match on it, with the arms `Some(x) => ..` and `None => ..`",
        )

    # --- operators -------------------------------------------------------------------------------------------------------
    def _unary(self, expression: syntax.Unary) -> core.Expr | None:
        span = expression.span
        if expression.op == "not":
            operand = self.value(expression.operand, core.BOOL)
            return None if operand is None else core.Unary("not", operand, core.BOOL, span)
        operand = self.check(expression.operand)
        if operand is None or not self._is_number(operand):
            return None
        if isinstance(operand, core.Const):
            return negated(operand, span)
        return core.Unary("neg", operand, operand.type, span)

    def _is_number(self, operand: core.Expr) -> bool:
        if operand.type in NUMBERS:
            return True
        help = "`time_diff(later, earlier)` gives the seconds between them" if operand.type == core.INSTANT else ""
        message = f"found {described(operand.type)} where a number is needed"
        self.findings.error("type-mismatch", message, operand.span, help=help)
        return False

    def _arithmetic(self, op: str, left: syntax.Expr, right: syntax.Expr, span: Span) -> core.Expr | None:
        operands = self._numbers(left, right)
        if operands is None:
            return None
        first, second = operands
        if op == "rem" and first.type == core.FLOAT:
            help = "use `%` with ints and uints"
            self.findings.error("type-mismatch", "`%` is not defined for floats", span, help=help)
            return None
        return core.Binary(op, first, second, first.type, span)

    def _numbers(self, left: syntax.Expr, right: syntax.Expr) -> tuple[core.Expr, core.Expr] | None:
        first, second = self.check(left), self.check(right)
        numeric = [operand is not None and self._is_number(operand) for operand in (first, second)]
        if first is None or second is None or not all(numeric):
            return None
        return unify(first, second, self.findings)

    def _comparison(self, expression: syntax.Compare) -> core.Expr | None:
        if expression.chained:
            help = "write `a < b and b < c`"
            self.findings.error("chained-comparison", "comparisons do not chain", expression.span, help=help)
            return None
        first, second = self.check(expression.left), self.check(expression.right)
        if first is None or second is None:
            return None
        op = COMPARISONS[expression.op]
        if first.type in NUMBERS and second.type in NUMBERS:
            operands = unify(first, second, self.findings)
        elif first.type.name in ("string", "name") and second.type.name in ("string", "name") and op in ("eq", "ne"):
            operands = self._alike(first, second)
        elif first.type.name == second.type.name == "Pair" and op in ("eq", "ne"):
            swap = isinstance(first, core.MakePair)
            other = coerce(first if swap else second, (second if swap else first).type, self.findings)
            operands = None if other is None else (other, second) if swap else (first, other)
        elif first.type == second.type and (op in ("eq", "ne") or first.type == core.INSTANT):
            operands = first, second
        else:
            kinds = f"{described(first.type)} and {described(second.type)}"
            message = f"{kinds} cannot be compared with `{expression.op}`"
            self.findings.error("type-mismatch", message, expression.span)
            return None
        if operands is None:
            return None
        ends = [settled(operand, self.findings) for operand in operands]
        if ends[0] is None or ends[1] is None:
            return None
        return core.Binary(op, ends[0], ends[1], core.BOOL, expression.span)

    def _alike(self, first: core.Expr, second: core.Expr) -> tuple[core.Expr, core.Expr] | None:
        """Two strings, or a name and a text, at one type."""
        if first.type.name == second.type.name == "name":
            return (first, second) if first.type == second.type else None
        if second.type.name == "name" or (first.type.name == "string" and _narrower(first, second)):
            other = coerce(first, second.type, self.findings)
            return None if other is None else (other, second)
        other = coerce(second, first.type, self.findings)
        return None if other is None else (first, other)

    # --- calls -----------------------------------------------------------------------------------------------------------
    def _call(self, call: syntax.Call) -> core.Expr | None:
        name, span = call.function.name, call.span
        if self.refused_function(call) or not self.has_arity(call):
            return None
        match name:
            case "min" | "max":
                return self._arithmetic(name, call.arguments[0], call.arguments[1], span)
            case "randomf":
                return self._draw(call)
            case "current_time":
                self.clocks += 1
                return core.Clock(self.clocks - 1, core.INSTANT, span)
            case "time_diff":
                later, earlier = (self.value(argument, core.INSTANT) for argument in call.arguments)
                return None if later is None or earlier is None else core.TimeDiff(later, earlier, core.FLOAT, span)
            case "float":
                return self._to_float(call.arguments[0])
            case "get" if self.is_message(call.arguments[0]):
                return self.field(call)
            case "byte_size" | "size" | "len":
                return self._size(call)
            case "rpc_id":
                return self._rpc_id(call)
            case "get":
                if self.lookup(call) is not None:
                    self.refuse_option("`get` gives an Option", span)
            case _:
                message, help = f"`{name}` is a statement, which has no value", "give it a line of its own"
                self.findings.error("type-mismatch", message, span, help=help)
        return None

    def _draw(self, call: syntax.Call) -> core.Expr | None:
        site = self.draws
        self.draws += 1
        ends = [self.value(argument, core.FLOAT) for argument in call.arguments]
        bounds = [None if end is None else constant(end, self.constants) for end in ends]
        for end, bound in zip(ends, bounds, strict=True):
            if end is not None and bound is None:
                self.findings.error(
                    "unsupported-random-bounds",
                    "the bounds of `randomf` must be constants",
                    end.span,
                    notes=("a state variable is one if `init` sets it to a constant and nothing else writes it",),
                    help="draw from 0 to 1 and compare with a computed value, or multiply the draw",
                )
        low, high = bounds
        if low is None or high is None:
            return None
        if low >= high:
            help = "write the lower bound first"
            message = "the range of `randomf` is empty"
            self.findings.error("unsupported-random-bounds", message, call.span, help=help)
            return None
        return core.Draw(site, low, high, core.FLOAT, call.span)

    def _to_float(self, argument: syntax.Expr) -> core.Expr | None:
        operand = self.check(argument)
        if operand is None or not self._is_number(operand):
            return None
        if operand.type == core.FLOAT:
            return operand
        if isinstance(operand, core.Const):
            return settle(operand, core.FLOAT, self.findings)
        whole = settled(operand, self.findings)
        return None if whole is None else core.ToFloat(whole, core.FLOAT, operand.span)

    # --- the message -----------------------------------------------------------------------------------------------------
    def is_message(self, expression: syntax.Expr) -> bool:
        return isinstance(expression, syntax.Name) and expression.name == self.message != ""

    def field_named(self, call: syntax.Call) -> Field | None:
        """The field that the second argument of `get` or `set` names, in the binding."""
        named = call.arguments[1]
        if not isinstance(named, syntax.Text):
            help = f"write `{call.function.name}({self.message}, 'field')`"
            self.findings.error("wrong-arguments", "a field is named by a text in quotes", named.span, help=help)
            return None
        if self._unbound(call.span):
            return None
        assert self.binding is not None
        found = self.binding.field(self.kind, named.value)
        if found is None or found.kind == "skip":
            names = [item.name for item in self.binding.fields[self.kind] if item.kind != "skip"]
            message = f"the binding {self.binding.name} has no field `{named.value}`"
            help = did_you_mean(
                named.value, names, f"its fields are: {', '.join(names)}" if names else "declare it under [fields]"
            )
            self.findings.error("unbound-field", message, named.span, help=help)
            return None
        if found.unread:
            message = f"the field `{found.name}` {found.unread}, and is not read"
            help = "numbers of 32 bits, bool, enums, string and bytes are read"
            self.findings.error("unsupported-payload", message, named.span, help=help)
            return None
        return found

    def _unbound(self, span: Span) -> bool:
        """Is there no binding that says where messages are? Reports it."""
        if self.binding is None:
            notes = ("no binding tells where the bytes of a message are",)
            help = "name a binding: --bind udp:PORT for the size, --bind FILE.toml for fields (`bpfsmith explain bad-binding`)"
            message = "this looks at the message, and the program has no binding"
            self.findings.error("unsupported-payload", message, span, notes=notes, help=help)
        return self.binding is None

    def field(self, call: syntax.Call) -> core.Expr | None:
        found = self.field_named(call)
        return None if found is None else core.Field(found.name, found.type, call.span)

    def _size(self, call: syntax.Call) -> core.Expr | None:
        """`byte_size(rpc)`, and `size` or `len` of the message, a Vec or a string."""
        name, first = call.function.name, call.arguments[0]
        if self.is_message(first):
            return None if self._unbound(call.span) else core.MessageSize(core.INT, call.span)
        declared = self.state.get(first.name) if isinstance(first, syntax.Name) else None
        if declared is not None and declared.type.name == "Vec":
            return core.VecSize(declared.name, core.INT, call.span)
        if declared is not None and declared.type.name == "Map":
            notes = ("a BPF hash map does not tell how many entries it has",)
            help = "count entries in a state variable of their own"
            message = f"`{name}` of a Map is not supported"
            self.findings.error("unsupported-map-size", message, call.span, notes=notes, help=help)
            return None
        value = self.value(first)
        if value is None:
            return None
        if value.type.name != "string":
            message = f"`{name}` takes a Vec of the state, a string or the message"
            self.findings.error("wrong-arguments", message, call.span, help=f"write `{USAGE[name]}`")
            return None
        return core.TextSize(value, core.INT, call.span)

    def _rpc_id(self, call: syntax.Call) -> core.Expr | None:
        if self._unbound(call.span):
            return None
        assert self.binding is not None
        found = self.binding.field(self.kind, self.binding.rpc_id)
        if found is None:
            message = f"the binding {self.binding.name} does not say which field tells RPCs apart"
            self.findings.error("unbound-field", message, call.span, help='add `rpc_id = "FIELD"` to it')
            return None
        return core.Field(found.name, found.type, call.span)

    # --- Maps and Vecs ---------------------------------------------------------------------------------------------------
    def container_named(self, call: syntax.Call) -> core.State | None:
        """The Map or Vec that a call of get, set or delete is about."""
        first = call.arguments[0]
        if not isinstance(first, syntax.Name):
            self.check(first)
            self._refuse_no_map(call, first.span)
            return None
        declared = self.state.get(first.name)
        if first.name in self.state and declared is None:
            return None
        kinds = ("Map",) if call.function.name == "delete" else ("Vec",) if call.function.name == "append" else ("Map", "Vec")
        if declared is None or declared.type.name not in kinds:
            known = [name for name, item in self.state.items() if item and item.type.name in kinds]
            help = did_you_mean(first.name, known)
            if declared is None and first.name not in self.variables and first.name != self.message:
                message = f"there is no {' or '.join(kinds)} `{first.name}`"
                help = help or f"declare `{first.name}: Map<int, int>` in `state:`"
                self.findings.error("unknown-name", message, first.span, help=help)
            else:
                self._refuse_no_map(call, first.span)
            return None
        return declared

    def _refuse_no_map(self, call: syntax.Call, span: Span) -> None:
        name = call.function.name
        message = f"the first argument of `{name}` must be a {'Vec' if name == 'append' else 'Map'} of the state"
        self.findings.error("wrong-arguments", message, span, help=f"write `{USAGE[name]}`")

    def lookup(self, call: syntax.Call) -> core.Lookup | None:
        """`get(map, key)` or `get(vec, index)`, where it may stand."""
        if self.refused_function(call) or not self.has_arity(call):
            return None
        declared = self.container_named(call)
        if declared is None:
            self.check(call.arguments[1])
            return None
        if declared.type.name == "Vec":
            index = self.value(call.arguments[1], core.INT)
            option = core.Type("Option", (declared.type.args[0],))
            return None if index is None else core.VecGet(declared.name, index, option, call.span)
        key_type, value_type = declared.type.args
        key = self.value(call.arguments[1], key_type)
        if key is None:
            return None
        return core.MapGet(declared.name, key, core.Type("Option", (value_type,)), call.span)

    # --- what is refused --------------------------------------------------------------------------------------------------
    def has_arity(self, call: syntax.Call) -> bool:
        name = call.function.name
        needed = USAGE[name].count(",") + 1 if "()" not in USAGE[name] else 0
        if len(call.arguments) == needed or (name == "rpc_id" and not call.arguments):
            return True
        arguments = "1 argument" if needed == 1 else f"{needed} arguments" if needed else "no arguments"
        message = f"`{name}` takes {arguments}, found {len(call.arguments)}"
        self.findings.error("wrong-arguments", message, call.span, help=f"write `{USAGE[name]}`")
        return False

    def refused_function(self, call: syntax.Call) -> bool:
        """Whether the function is one that is not translated or does not exist; reports it."""
        name, span = call.function.name, call.span
        if name == "delete" and call.arguments and self.is_message(call.arguments[0]):
            help = "set it to a value that stands for nothing"
            message = "a field of the message cannot be deleted: the others would move"
            self.findings.error("unsupported-payload", message, span, help=help)
        elif name == "foreach":
            help = "give it a line of its own"
            self.findings.error("type-mismatch", "`foreach` is a statement, which has no value", span, help=help)
        elif name in ("int", "uint"):
            notes = ("rounding could be meant in several ways",)
            help = "keep the value as a float, or count in ints from the start"
            self.findings.error("unsupported-cast", f"`{name}(x)` is not supported", span, notes=notes, help=help)
        elif name in _FOREIGN:
            notes = (_FOREIGN[name],)
            message = f"the function `{name}` is not supported"
            help = _INSTEAD.get(name, "do it in userspace")
            self.findings.error("unsupported-function", message, span, notes=notes, help=help)
        elif name == "err":
            help = "it stands only in `send(err('..'), Drop)`"
            self.findings.error("type-mismatch", "`err(..)` is no value", span, help=help)
        elif name == "Some":
            help = "it stands only before the `=>` of an arm"
            self.findings.error("unsupported-option-value", "`Some(..)` is a pattern, which is no value", span, help=help)
        elif name not in USAGE:
            help = did_you_mean(name, (*USAGE, *_FOREIGN), f"the functions are {', '.join(USAGE)}")
            self.findings.error("unknown-name", f"there is no function `{name}`", call.function.span, help=help)
        else:
            return False
        return True


def _narrower(first: core.Expr, second: core.Expr) -> bool:
    """Is `first` the one of two strings that can become of the other's type? A text can, where it fits."""
    if isinstance(first, core.Const) and isinstance(first.value, bytes):
        return not isinstance(second, core.Const) or first.type.size <= second.type.size
    return not isinstance(second, core.Const) and first.type.size < second.type.size


def constant(expression: core.Expr, known: Mapping[str, Fraction]) -> Fraction | None:
    """The value of a number that is the same in every run, or None. `known` are state variables with one value."""
    match expression:
        case core.Const(literal):
            return Fraction(literal) if not isinstance(literal, bytes) else None
        case core.StateVar(name):
            return known.get(name)
        case core.ToFloat(operand):
            return constant(operand, known)
        case core.Unary("neg", operand):
            value = constant(operand, known)
            return None if value is None else _in_range(-value, expression.type)
        case core.Binary(op, left, right):
            first, second = constant(left, known), constant(right, known)
            if first is None or second is None:
                return None
            match op:
                case "add":
                    return _in_range(first + second, expression.type)
                case "sub":
                    return _in_range(first - second, expression.type)
                case "mul":
                    return _in_range(first * second, expression.type)
                case "div" if second != 0 and expression.type == core.FLOAT:
                    return first / second
                case _:
                    return None
        case _:
            return None


def _in_range(value: Fraction, kind: core.Type) -> Fraction | None:
    """The value, unless it would wrap: then it is not folded."""
    low, high = RANGES.get(kind, (value, value))
    return value if low <= value <= high else None
