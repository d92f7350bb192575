"""The rule-based generator: typed AppNet to readable eBPF C, with `#line` back to the user's program.

Every construct has one rule. State is kept atomic across CPUs in the cheapest way that does (`sharing`): nothing, atomic
instructions, or one bpf_spin_lock around the step. A lock may not be held across a helper call, so under a lock the draws and
clock readings are made before it, once for each place in the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import assert_never

from bpfsmith.appnet import core, facts, fixed
from bpfsmith.appnet.core import BOOL, FLOAT, INSTANT, INT, UINT, Element, Expr, Stmt, Type
from bpfsmith.appnet.meaning import draw_comparison
from bpfsmith.appnet.names import Naming, naming, reserved

C_TYPES = {INT: "__s32", UINT: "__u32", FLOAT: "__u64", INSTANT: "__u64", BOOL: "_Bool"}


class Sharing(StrEnum):
    """How the state of an element is kept whole when several CPUs run steps at once."""

    NONE = "none"  # the step does not change state
    ATOMIC = "atomic"  # counters by atomic add, at most one variable that is only overwritten
    LOCK = "lock"  # one bpf_spin_lock around the step
    MAP = "map"  # map helpers: each call is atomic, the step is not


def sharing(element: Element) -> Sharing:
    """The cheapest way that keeps a step of this element atomic."""
    body = element.req
    changed = facts.written(body)
    if not changed:
        return Sharing.NONE
    if any(element.variable(name).type.name == "Map" for name in changed) or any(
        isinstance(expr, core.MapGet) for expr in facts.expressions(body)
    ):
        return Sharing.MAP
    if any(facts.may_divide_by_zero(expr) for expr in facts.expressions(body)):
        return Sharing.LOCK
    overwritten = set()
    for statement in facts.statements(body):
        if isinstance(statement, core.SetState) and added_to(statement) is None:
            overwritten.add(statement.name)
    seen: set[str] = set()
    for statement in facts.statements(body):
        for expr in _values(statement):
            seen |= {item.name for item in facts.subexpressions(expr) if isinstance(item, core.StateVar)}
    if seen & changed or len(overwritten) > 1:
        return Sharing.LOCK
    counters = {item.name for item in facts.statements(body) if isinstance(item, core.SetState) and added_to(item) is not None}
    return Sharing.LOCK if counters & overwritten else Sharing.ATOMIC


def added_to(statement: core.SetState) -> tuple[str, Expr] | None:
    """`x = x + e` (or e + x, or x - e) on an integer, with e free of state that changes: ("+" or "-", e)."""
    value = statement.value
    if isinstance(value, core.Binary) and value.op in ("add", "sub") and value.type in (INT, UINT):
        if _is_state(value.left, statement.name):
            return ("+" if value.op == "add" else "-"), value.right
        if value.op == "add" and _is_state(value.right, statement.name):
            return "+", value.left
    return None


def _is_state(expr: Expr, name: str) -> bool:
    return isinstance(expr, core.StateVar) and expr.name == name


def _values(statement: Stmt) -> tuple[Expr, ...]:
    """The expressions whose state reads count: all but the variable that an atomic add updates."""
    match statement:
        case core.SetState():
            added = added_to(statement)
            return (added[1],) if added else (statement.value,)
        case core.SetLocal(value=value) | core.Evaluate(value=value):
            return (value,)
        case core.Match(subject=subject):
            return (subject,)
        case _:
            return ()


@dataclass(slots=True)
class _Writer:
    """C text with indentation; `#line` directives are written when the user's line changes."""

    path: str
    lines: list[str] = field(default_factory=list)
    depth: int = 0

    def put(self, text: str) -> None:
        self.lines.append("\t" * self.depth + text if text else "")

    def at(self, line: int) -> None:
        self.lines.append(f'#line {line} "{_printable(self.path)}"')

    @contextmanager
    def block(self, head: str, tail: str = "}") -> Iterator[None]:
        if head.startswith("else") and self.lines[-1] == "\t" * self.depth + "}":
            self.lines[-1] += f" {head} {{"
        else:
            self.put(f"{head} {{" if head else "{")
        self.depth += 1
        yield
        self.depth -= 1
        self.put(tail)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the program runs: its section, context type, and the values that forward and abort an RPC there."""

    section: str
    context: str
    forward: str
    abort: str


XDP = Target("xdp", "struct xdp_md", "XDP_PASS", "XDP_DROP")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the generator may do better than one straight rule for each construct. All on is what `compile` uses; benchmarks
    turn them off to show what they are worth."""

    constants: bool = True  # state that never changes is a constant, not a variable
    atomics: bool = True  # counters by atomic add where that is enough, instead of a lock around the step
    thresholds: bool = True  # a draw is compared as a 32-bit word, not as a fixed-point number


STRAIGHT = Choices(constants=False, atomics=False, thresholds=False)


@dataclass(frozen=True, slots=True)
class Generated:
    """C text, the strategy behind it, and the function that holds `req` (and `init`, when it must run at load time)."""

    c_text: str
    sharing: Sharing
    function: str
    init_function: str | None

    @property
    def line_count(self) -> int:
        """Lines that hold code: no blanks, comments or #line."""
        return sum(1 for line in self.c_text.splitlines() if line.strip() and not line.strip().startswith(("//", "#line")))


def lower(element: Element, initial: dict[str, int] | None, target: Target = XDP, choices: Choices | None = None) -> Generated:
    """C for an element. `initial` holds each scalar's raw initial value; None when `init` has to run in the kernel."""
    choices = choices or Choices()
    constants = facts.constants(element) if choices.constants else {}
    folded = facts.with_constants(element) if choices.constants else element
    return _Generator(folded, constants, initial, target, choices).generate()


@dataclass(slots=True)
class _Generator:
    element: Element
    constants: dict[str, core.Const]
    initial: dict[str, int] | None
    target: Target
    choices: Choices
    out: _Writer = field(init=False)
    name: Naming = field(init=False)
    mode: Sharing = field(init=False)
    draws: dict[str, facts.DrawRange] = field(default_factory=dict)
    copies: bool = False  # the step works on copies of the state, so that a division by zero leaves it alone
    in_init: bool = False
    temporaries: int = 0
    arms: int = 0  # how many match arms the statement stands in

    def __post_init__(self) -> None:
        self.out = _Writer(self.element.path)
        self.name = naming(self.element)
        self.mode = sharing(self.element)
        if self.mode is Sharing.ATOMIC and not self.choices.atomics:
            self.mode = Sharing.LOCK

    def generate(self) -> Generated:
        put = self.out.put
        name, path = _printable(self.element.name), _printable(self.element.path)
        put(f"// {name}: generated by bpfsmith from {path}; `bpfsmith check` proves it.")
        put("#include <linux/bpf.h>")
        put("#include <bpfsmith/helpers.h>")
        put("")
        self._state()
        function = _identifier(self.element.name)
        while reserved(function) or function in self.name.taken:
            function = f"v_{function}"
        self._function(function)
        init_function = self._init(function) if self.initial is None else None
        put("")
        put('char LICENSE[] SEC("license") = "GPL";')
        if any("fx_" in line for line in self.out.lines):
            self.out.lines.insert(3, "#include <bpfsmith/fixed.h>")
        return Generated("\n".join(self.out.lines) + "\n", self.mode, function, init_function)

    # --- state --------------------------------------------------------------------------------------------------------
    def _state(self) -> None:
        put = self.out.put
        kept = [item for item in self.element.state if item.name not in self.constants]
        section, hidden = ("", "")
        if self.mode is Sharing.LOCK:
            section, hidden = ' SEC(".data.state")', "__hidden "
            put(f"__hidden struct bpf_spin_lock state_lock{section}; // held for the whole step")
        for item in kept:
            if item.type.name == "Map":
                self._map(item)
                continue
            declared = f"{hidden}{C_TYPES[item.type]} {self.name(item.name)}{section}{self._initial_text(item)};"
            put(f"{declared} // {item.name}: {item.type}{self._unit(item.type)}")
        for name, constant in self.constants.items():
            shown = float(constant.value) if isinstance(constant.value, Fraction) else constant.value
            put(f"// {name} is the constant {str(shown).lower() if isinstance(shown, bool) else shown}")
        if self.element.state:
            put("")

    def _unit(self, kind: Type) -> str:
        return {FLOAT: ", in units of 2^-32", INSTANT: ", in ns"}.get(kind, "")

    def _initial_text(self, item: core.State) -> str:
        raw = (self.initial or {}).get(item.name, 0)
        if item.type == INT:
            return f" = {raw - (1 << 32) if raw >> 31 else raw}"
        return f" = {_number(raw, 64 if item.type in (FLOAT, INSTANT) else 32)}"

    def _map(self, item: core.State) -> None:
        key, value = (C_TYPES[arg] for arg in item.type.args)
        self.out.put("struct {")
        self.out.put("\t__uint(type, BPF_MAP_TYPE_HASH);")
        self.out.put(f"\t__type(key, {key});")
        self.out.put(f"\t__type(value, {value});")
        self.out.put(f"\t__uint(max_entries, {item.max_entries});")
        self.out.put(f'}} {self.name(item.name)} SEC(".maps"); // {item.name}: {item.type}')

    # --- functions ----------------------------------------------------------------------------------------------------
    def _function(self, function: str) -> None:
        body = self.element.req
        self.draws = facts.draw_locals(body)
        locked = self.mode is Sharing.LOCK
        self.copies = locked and any(facts.may_divide_by_zero(expr) for expr in facts.expressions(body))
        self.out.put(f'SEC("{self.target.section}")')
        self.out.put(f"int {function}({self.target.context} *ctx)")
        with self.out.block(""):
            if locked:
                self._ahead(body)
                self.out.put(f"int verdict = {self.target.forward};")
            self._declare_locals(body)
            if locked:
                self.out.put("")
                self.out.put("bpf_spin_lock(&state_lock);")
            if self.copies:
                for name in self._state_used(body):
                    kind = self.element.variable(name).type
                    self.out.put(f"{C_TYPES[kind]} {self._copy(name)} = {self.name(name)};")
            ended = self._body(body)
            if locked:
                if self.copies:
                    self._commit(body)
                self.out.depth -= 1
                self.out.put("out:")
                self.out.depth += 1
                self.out.put("bpf_spin_unlock(&state_lock);")
                self.out.put("return verdict;")
            elif not ended:
                self.out.put(f"return {self.target.forward};")

    def _commit(self, body: tuple[Stmt, ...]) -> None:
        """Writes the copies back; a step that divided by zero jumps past this."""
        self.out.depth -= 1
        self.out.put(f"{self.name.fresh('commit')}: __attribute__((unused));")
        self.out.depth += 1
        for name in sorted(facts.written(body)):
            self.out.put(f"{self.name(name)} = {self._copy(name)};")

    def _init(self, function: str) -> str:
        """init() as a program that the loader runs once."""
        name = self.name.fresh(f"{function}_init")
        body = self.element.init
        self.in_init, self.draws = True, facts.draw_locals(body)
        self.copies = any(facts.may_divide_by_zero(expr) for expr in facts.expressions(body))
        mode, self.mode = self.mode, Sharing.NONE
        self.out.put("")
        self.out.put("// Run once after loading, before the program is attached (BPF_PROG_TEST_RUN).")
        self.out.put('SEC("syscall")')
        self.out.put(f"int {name}(void *ctx)")
        with self.out.block(""):
            self._declare_locals(body)
            used = [item for item in self._state_used(body) if item not in self.constants] if self.copies else []
            for item in used:
                self.out.put(f"{C_TYPES[self.element.variable(item).type]} {self._copy(item)} = {self.name(item)};")
            self._body(body)
            for item in used:
                self.out.put(f"{self.name(item)} = {self._copy(item)};")
            self.out.put("return 0;")
        self.mode, self.in_init = mode, False
        return name

    def _ahead(self, body: tuple[Stmt, ...]) -> None:
        """Draws and clock readings of the whole step, before the lock is taken."""
        for expr in facts.expressions(body):
            if isinstance(expr, core.Draw):
                self.out.put(f"__u32 {self._word_name(expr.site)} = bpf_get_prandom_u32();")
            elif isinstance(expr, core.Clock):
                self.out.put(f"__u64 {self._clock_name(expr.site)} = bpf_ktime_get_ns();")

    def _word_name(self, site: int) -> str:
        return self.name.fresh("word", site)

    def _clock_name(self, site: int) -> str:
        return self.name.fresh("now", site)

    def _declare_locals(self, body: tuple[Stmt, ...]) -> None:
        kinds: dict[str, str] = {}
        for statement in facts.statements(body):
            if isinstance(statement, core.SetLocal):
                kinds[statement.name] = "__u32" if statement.name in self.draws else C_TYPES[statement.value.type]
        for name, kind in kinds.items():
            self.out.put(f"{kind} {self.name(name)};")

    def _state_used(self, body: tuple[Stmt, ...]) -> list[str]:
        scalars = {item.name for item in self.element.state if item.type.name != "Map"}
        return sorted((facts.written(body) | facts.read(body)) & scalars)

    def _copy(self, name: str) -> str:
        return self.name.fresh(f"{self.name(name)}_now")

    # --- statements ---------------------------------------------------------------------------------------------------
    def _body(self, body: tuple[Stmt, ...]) -> bool:
        """Emits statements; True when the path has ended behind them."""
        return any([self._statement(statement) for statement in body][-1:])

    def _statement(self, statement: Stmt) -> bool:
        if not (isinstance(statement, core.SetState) and statement.name in self.constants):
            self.out.at(statement.span.line)
        match statement:
            case core.SetLocal(name=name, value=value):
                text = self._word(value) if name in self.draws else self._expr(value)
                self.out.put(f"{self.name(name)} = {text};")
            case core.SetState():
                self._set_state(statement)
            case core.MapSet(map=name, key=key, value=value):
                with self.out.block(""):
                    where = self._let(C_TYPES[key.type], "key", self._expr(key))
                    new = self._let(C_TYPES[value.type], "value", self._expr(value))
                    self.out.put(f"bpf_map_update_elem(&{self.name(name)}, &{where}, &{new}, BPF_ANY);")
            case core.MapDelete(map=name, key=key):
                where = self._let(C_TYPES[key.type], "key", self._expr(key))
                self.out.put(f"bpf_map_delete_elem(&{self.name(name)}, &{where});")
            case core.Evaluate(value=value):
                self.out.put(f"(void){self._expr(value)};")
            case core.Forward():
                return self._end(self.target.forward)
            case core.Abort(message=message):
                self.out.put(f"// {_comment(message)}")
                return self._end(self.target.abort)
            case core.Match():
                self.arms += 1
                ended = self._match(statement)
                self.arms -= 1
                return ended
        return False

    def _end(self, action: str) -> bool:
        if self.mode is Sharing.LOCK:
            if action != self.target.forward:
                self.out.put(f"verdict = {action};")
            self.out.put(f"goto {self.name.fresh('commit') if self.copies else 'out'};")
        else:
            self.out.put(f"return {action};")
        return True

    def _set_state(self, statement: core.SetState) -> None:
        if statement.name in self.constants:  # only init sets it, and its value stands where it is used
            return
        added = added_to(statement) if self.mode is Sharing.ATOMIC else None
        if added is not None:
            sign, amount = added
            text = self._expr(amount)
            amount_text = text if sign == "+" else f"-({text})"
            self.out.put(f"__atomic_fetch_add(&{self.name(statement.name)}, {amount_text}, __ATOMIC_RELAXED);")
            return
        place = self._copy(statement.name) if self.copies else self.name(statement.name)
        self.out.put(f"{place} = {self._expr(statement.value)};")

    def _match(self, statement: core.Match) -> bool:
        subject = statement.subject
        if isinstance(subject, core.MapGet):
            return self._match_option(statement, subject)
        simple = isinstance(subject, core.Local | core.StateVar) and subject.type != FLOAT
        boolean = subject.type == BOOL and len(statement.arms) <= 2
        text = self._expr(subject)
        if not simple and not (boolean and len(statement.arms) == 1) and not _two_way(statement):
            text = self._let(C_TYPES[subject.type], "subject", text)
        ended, complete = [], False
        head = "if"
        for position, arm in enumerate(statement.arms):
            last = position == len(statement.arms) - 1
            covers = isinstance(arm.pattern, core.Anything) or (last and position > 0 and _two_way(statement))
            if covers and position == 0:
                with self.out.block(""):
                    ended.append(self._body(arm.body))
                complete = True
                break
            if covers:
                complete = True
                with self.out.block("else"):
                    ended.append(self._body(arm.body))
                break
            assert isinstance(arm.pattern, core.Equals)
            with self.out.block(f"{head} ({self._equals(subject.type, text, arm.pattern.value)})"):
                ended.append(self._body(arm.body))
            head = "else if"
        return complete and all(ended)

    def _equals(self, kind: Type, text: str, constant: core.Const) -> str:
        if kind == BOOL:
            return _strip(text) if constant.value else f"!{text}"
        return f"{text} == {self._const(constant)}"

    def _match_option(self, statement: core.Match, subject: core.MapGet) -> bool:
        kind = C_TYPES[self.element.variable(subject.map).type.args[1]]
        key = self._let(C_TYPES[subject.key.type], "key", self._expr(subject.key))
        entry = self._let(f"{kind} *", "entry", f"bpf_map_lookup_elem(&{self.name(subject.map)}, &{key})")
        ended: list[bool] = []
        seen: set[type[core.Pattern]] = set()
        head = "if"
        for arm in statement.arms:
            condition = entry if isinstance(arm.pattern, core.Some) else f"!{entry}"
            covered = isinstance(arm.pattern, core.Anything) or (seen | {type(arm.pattern)}) >= {core.Some, core.Nothing}
            test = "" if isinstance(arm.pattern, core.Anything) else f"{head} ({condition})"
            opening = "else" if seen and covered else test
            with self.out.block(opening):
                if isinstance(arm.pattern, core.Some):
                    self.out.put(f"{kind} {self.name(arm.pattern.name)} = *{entry};")
                ended.append(self._body(arm.body))
            seen.add(type(arm.pattern))
            head = "else if"
        complete = core.Anything in seen or {core.Some, core.Nothing} <= seen
        return complete and all(ended)

    # --- expressions --------------------------------------------------------------------------------------------------
    def _let(self, kind: str, stem: str, text: str) -> str:
        name = self.name.fresh(stem, self.temporaries)
        self.temporaries += 1
        self.out.put(f"{kind}{'' if kind.endswith('*') else ' '}{name} = {text};")
        return name

    def _expr(self, expr: Expr) -> str:
        """A C expression without side effects; what has any is put into statements before it, in order."""
        match expr:
            case core.Const():
                return self._const(expr)
            case core.Local(name=name):
                return self._uniform(self.name(name), self.draws[name]) if name in self.draws else self.name(name)
            case core.StateVar(name=name):
                return self._copy(name) if self.copies else self.name(name)
            case core.Unary(op="not", operand=operand):
                return f"!{self._expr(operand)}"
            case core.Unary(operand=operand):
                return f"fx_neg({self._expr(operand)})" if expr.type == FLOAT else f"(-{self._expr(operand)})"
            case core.Binary(op="and" | "or"):
                return self._short_circuit(expr)
            case core.Binary():
                return self._binary(expr)
            case core.ToFloat(operand=operand):
                text = self._expr(operand)
                return f"fx_from_int((__s64){text})" if operand.type == INT else f"fx_from_uint({text})"
            case core.Draw(low=low, high=high):
                return self._uniform(self._word(expr), facts.DrawRange(low, high))
            case core.Clock(site=site):
                if self.mode is Sharing.LOCK:
                    return self._clock_name(site)
                return self._let("__u64", "now", "bpf_ktime_get_ns()")
            case core.TimeDiff(later=later, earlier=earlier):
                a = self._expr(later)
                return f"fx_seconds({a}, {self._expr(earlier)})"
            case core.MapGet():
                raise AssertionError("the type checker lets get() stand only as the subject of a match")
        assert_never(expr)

    def _const(self, constant: core.Const) -> str:
        value = constant.value
        if isinstance(value, bool):
            return str(int(value))
        if constant.type == FLOAT:
            assert not isinstance(value, str)
            return _number(fixed.from_fraction(Fraction(value)), 64)
        assert isinstance(value, int)
        return (
            str(value) if constant.type == INT and value != -(1 << 31) else f"({value + 1} - 1)" if value < 0 else f"{value}u"
        )

    def _word(self, expr: Expr) -> str:
        if isinstance(expr, core.Local):
            return self.name(expr.name)
        assert isinstance(expr, core.Draw)
        if self.mode is Sharing.LOCK:
            return self._word_name(expr.site)
        return self._let("__u32", "word", "bpf_get_prandom_u32()")

    def _uniform(self, word: str, bounds: facts.DrawRange) -> str:
        low = _number(fixed.from_fraction(bounds.low), 64)
        return f"fx_uniform({word}, {low}, {_number(fixed.from_fraction(bounds.high - bounds.low), 64)})"

    def _short_circuit(self, expr: core.Binary) -> str:
        sign = "&&" if expr.op == "and" else "||"
        left = self._expr(expr.left)
        if not (self._emits(expr.right)):
            return f"({left} {sign} {self._expr(expr.right)})"
        held = self._let("_Bool", "held", left)
        with self.out.block(f"if ({'' if expr.op == 'and' else '!'}{held})"):
            self.out.put(f"{held} = {self._expr(expr.right)};")
        return held

    def _emits(self, expr: Expr) -> bool:
        """Does `_expr` put statements before this one? Under a lock draws and readings are names already."""
        if self.mode is Sharing.LOCK:
            return any(facts.may_divide_by_zero(item) for item in facts.subexpressions(expr))
        return facts.has_effect(expr)

    def _factor(self, expr: Expr) -> str:
        """An operand of long arithmetic. A sum in an arm would be compiled with what the arm's condition shows, such as that it
        does not overflow; then the proof could not take the sum by itself."""
        in_sum = self.arms and isinstance(expr, core.Binary) and expr.op in ("add", "sub") and expr.type == FLOAT
        return self._binary(expr, plain=True) if in_sum and isinstance(expr, core.Binary) else self._expr(expr)

    def _binary(self, expr: core.Binary, plain: bool = False) -> str:
        kind = expr.left.type
        if kind == FLOAT and expr.op in ("lt", "le", "gt", "ge"):
            compared = self._compare_draw(expr)
            if compared is not None:
                return compared
        simple = facts.simple_factor(expr)
        if simple is not None:
            operation, other, factor = simple
            return f"fx_{operation}({self._factor(other)}, {_number(factor, 64)})"
        long = kind == FLOAT and expr.op in ("mul", "div")
        a = self._factor(expr.left) if long else self._expr(expr.left)
        if self._emits(expr.right) and not isinstance(expr.left, core.Const | core.Local):
            a = self._let(C_TYPES[kind], "left", a)
        b = self._factor(expr.right) if long else self._expr(expr.right)
        if expr.op in ("div", "rem"):
            b = self._guard_division(expr, b)
        sign = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.get(expr.op)
        if sign is not None:
            cast = "(__s64)" if kind == FLOAT and sign not in ("==", "!=") else ""
            return f"({cast}{a} {sign} {cast}{b})"
        if expr.op in ("min", "max"):
            suffix = {INT: "s32", UINT: "u32", FLOAT: "s64", INSTANT: "u64"}[kind]
            return f"{expr.op}_{suffix}({a}, {b})"
        if kind == FLOAT:
            if plain:
                a, b = (
                    text if isinstance(side, core.Const) else f"fx_plain({text})"
                    for side, text in ((expr.left, a), (expr.right, b))
                )
            return f"fx_{expr.op}({a}, {b})"
        if expr.op in ("div", "rem") and kind == INT:
            return f"{expr.op}_s32({a}, {b})"
        return f"({a} { {'add': '+', 'sub': '-', 'mul': '*', 'div': '/', 'rem': '%'}[expr.op] } {b})"

    def _guard_division(self, expr: core.Binary, divisor: str) -> str:
        """A divisor that may be zero ends the step: Abort, with the state as it was."""
        if not facts.may_divide_by_zero(expr):
            return divisor
        name = self._let(C_TYPES[expr.right.type], "divisor", divisor)
        with self.out.block(f"if ({name} == 0)"):
            self.out.put("// division by zero: abort, state unchanged")
            if self.in_init:
                self.out.put("return 0;")
            elif self.mode is Sharing.LOCK:
                self.out.put(f"verdict = {self.target.abort};")
                self.out.put("goto out;")
            else:
                self.out.put(f"return {self.target.abort};")
        return name

    def _compare_draw(self, expr: core.Binary) -> str | None:
        shape = draw_comparison(expr, self.draws) if self.choices.thresholds else None
        if shape is None:
            return None
        if shape.constant is not None:
            if shape.constant in (0, fixed.ONE):
                if isinstance(shape.draw, core.Draw) and self.mode is not Sharing.LOCK:
                    self._word(shape.draw)
                return str(int((shape.constant == fixed.ONE) == shape.below))
            return f"({self._word(shape.draw)} {'<' if shape.below else '>='} {shape.constant}u)"
        if shape.draw_first:
            word, limit = self._word(shape.draw), self._expr(shape.other)
        else:
            limit, word = self._expr(shape.other), self._word(shape.draw)
        return f"({word} {'<' if shape.below else '>='} fx_threshold({limit}))"


def _two_way(statement: core.Match) -> bool:
    """true / false in two arms: the second needs no test of its own."""
    patterns = [arm.pattern for arm in statement.arms]
    values = [item.value.value for item in patterns if isinstance(item, core.Equals)]
    return len(patterns) == 2 and len(values) == 2 and set(values) == {True, False} and statement.subject.type == BOOL


def _strip(text: str) -> str:
    """Without the parentheses around the whole."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0 and position < len(text) - 1:
            return text
    return text[1:-1]


def _number(value: int, width: int) -> str:
    if width == 32:
        return str(value) if value < 1 << 31 else f"{value}u"
    return str(value) if value < 1 << 16 else f"{value:#x}ULL"


def _identifier(name: str) -> str:
    text = "".join(char if char.isascii() and (char.isalnum() or char == "_") else "_" for char in name)
    return text if text and not text[0].isdigit() else f"_{text}"


def _printable(path: str) -> str:
    """A file's name for a comment or a C string: what cannot stand there becomes a question mark."""
    return "".join(char if char.isprintable() and char not in '"\\' else "?" for char in path)


def _comment(message: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in message).replace("\\", "/")
