"""Expressions as C: one rule for each, and statements before them for what has an effect."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import assert_never

from bpfsmith.appnet import core, facts, fixed
from bpfsmith.appnet.core import BOOL, FLOAT, INSTANT, INT, UINT, Element, Expr, Type
from bpfsmith.appnet.declared import CTypes, member, words
from bpfsmith.appnet.draws import draw_comparison
from bpfsmith.appnet.names import Naming
from bpfsmith.appnet.shapes import is_block, size_of
from bpfsmith.appnet.sharing import Sharing
from bpfsmith.appnet.targets import XDP, Target
from bpfsmith.appnet.unpack import MESSAGE_SIZE, Unpacking
from bpfsmith.appnet.writer import Writer, number, unwrapped


@dataclass(frozen=True, slots=True)
class Choices:
    """What the generator may do better than one straight rule for each construct. All on is what `compile` uses; benchmarks
    turn them off to show what they are worth."""

    constants: bool = True  # state that never changes is a constant, not a variable
    atomics: bool = True  # counters by atomic add where that is enough, instead of a lock around the step
    thresholds: bool = True  # a draw is compared as a 32-bit word, not as a fixed-point number


STRAIGHT = Choices(constants=False, atomics=False, thresholds=False)


@dataclass(slots=True)
class CExpressions:
    """Writes the expressions of one body. `_expr` gives C without side effects; what has any stands before it, in order."""

    element: Element
    constants: dict[str, core.Const]
    choices: Choices
    target: Target = XDP  # of the body that is being written
    out: Writer = field(init=False)
    name: Naming = field(init=False)
    mode: Sharing = field(init=False)
    c_type: CTypes = field(default_factory=CTypes)
    unpacking: Unpacking | None = None  # of the body that is being written
    draws: dict[str, facts.DrawRange] = field(default_factory=dict)
    copies: bool = False  # the step works on copies of the state, so that a division by zero leaves it alone
    in_init: bool = False
    one_end: bool = False  # every path ends at `out`, with its verdict in a variable
    temporaries: int = 0
    arms: int = 0  # how many match arms the statement stands in

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
            case core.Field(name=name):
                assert self.unpacking is not None
                return self.unpacking.variable(name)
            case core.MessageSize():
                assert self.unpacking is not None
                return self.unpacking.variable(MESSAGE_SIZE)
            case core.TextSize(operand=operand):
                return f"((__s32){self._expr(operand)}.size)"
            case core.Widen(operand=operand):
                narrow = self._expr(operand)
                copied = ", ".join(f"{narrow}.words[{index}]" for index in range(size_of(operand.type) // 8))
                return self._let(self.c_type(expr.type), "text", f"{{ .words = {{ {copied} }} }}")
            case core.MakePair(items=items):
                parts = [self._expr(item) for item in items]
                inside = ", ".join(f".{member(index)} = {part}" for index, part in enumerate(parts))
                return self._let(self.c_type(expr.type), "pair", f"{{ {inside} }}")
            case core.Item(pair=pair, index=index):
                part = f"{self._expr(pair)}.{member(index)}"
                return f"({part} != 0)" if expr.type == BOOL else part
            case core.VecSize(vec=vec):
                return f"((__s32){self.name(vec)}.size)"
            case core.MapGet() | core.VecGet():
                raise AssertionError("the type checker lets get() stand only as the subject of a match")
        assert_never(expr)

    def _const(self, constant: core.Const) -> str:
        value = constant.value
        if isinstance(value, bool):
            return str(int(value))
        if constant.type == FLOAT:
            assert not isinstance(value, bytes)
            return number(fixed.from_fraction(Fraction(value)), 64)
        if isinstance(value, bytes):
            return self._let(self.c_type(constant.type), "text", f"{{ .words = {{ {', '.join(words(constant))} }} }}")
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
        low = number(fixed.from_fraction(bounds.low), 64)
        return f"fx_uniform({word}, {low}, {number(fixed.from_fraction(bounds.high - bounds.low), 64)})"

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
        if any(isinstance(item, core.Widen | core.MakePair) for item in facts.subexpressions(expr)):
            return True
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
        if is_block(kind):
            return self._same(kind, expr.left, expr.right) if expr.op == "eq" else f"!{self._same(kind, expr.left, expr.right)}"
        simple = facts.simple_factor(expr)
        if simple is not None:
            operation, other, factor = simple
            return f"fx_{operation}({self._factor(other)}, {number(factor, 64)})"
        long = kind == FLOAT and expr.op in ("mul", "div")
        a = self._factor(expr.left) if long else self._expr(expr.left)
        if self._emits(expr.right) and not isinstance(expr.left, core.Const | core.Local):
            a = self._let(self.c_type(kind), "left", a)
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
        name = self._let(self.c_type(expr.right.type), "divisor", divisor)
        with self.out.block(f"if ({name} == 0)"):
            self.out.put("// division by zero: abort, state unchanged")
            if self.in_init:
                self.out.put("return 0;")
            elif self.one_end:
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

    # --- names and comparisons -----------------------------------------------------------------------------------------
    def _word_name(self, site: int) -> str:
        return self.name.fresh("word", site)

    def _clock_name(self, site: int) -> str:
        return self.name.fresh("now", site)

    def _copy(self, name: str) -> str:
        return self.name.fresh(f"{self.name(name)}_now")

    def _equals(self, kind: Type, text: str, constant: core.Const) -> str:
        if kind == BOOL:
            return unwrapped(text) if constant.value else f"!{text}"
        if kind.name == "string":
            return self._same_words(text, words(constant))
        return f"{text} == {self._const(constant)}"

    def _same_words(self, text: str, others: list[str]) -> str:
        return " && ".join(f"{text}.words[{index}] == {word}" for index, word in enumerate(others))

    def _same(self, kind: Type, a: Expr, b: Expr) -> str:
        """Are two texts or pairs the same?"""
        if isinstance(a, core.Const):
            a, b = b, a
        first = self._expr(a)
        if isinstance(b, core.Const):
            return f"({self._same_words(first, words(b))})"
        second = self._expr(b)
        return f"({self._same_parts(kind, first, second)})"

    def _same_parts(self, kind: Type, a: str, b: str) -> str:
        if kind.name == "string":
            return self._same_words(a, [f"{b}.words[{index}]" for index in range(size_of(kind) // 8)])
        if kind.name == "Pair":
            parts = enumerate(kind.args)
            return " && ".join(self._same_parts(part, f"{a}.{member(index)}", f"{b}.{member(index)}") for index, part in parts)
        if kind == BOOL:
            a, b = f"!{a}", f"!{b}"
        return f"{a} == {b}"
