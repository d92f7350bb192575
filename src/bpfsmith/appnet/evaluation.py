"""What expressions mean, as terms: the values of a step on one path, and the divisions by zero that end one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import assert_never

from bpfsmith.appnet import core, facts, fixed
from bpfsmith.appnet.core import BOOL, FLOAT, INT, Element, Expr, Type
from bpfsmith.appnet.draws import DrawComparison, draw_comparison
from bpfsmith.appnet.layout import Layout
from bpfsmith.appnet.shapes import offsets, size_of, text_bytes, width_of
from bpfsmith.ir.ops import AluKind
from bpfsmith.semantics import eval as machine
from bpfsmith.semantics.memory import Bytes, HashMap
from bpfsmith.semantics.terms import Term, Terms

RANDOM, CLOCK = "bpf_get_prandom_u32", "bpf_ktime_get_ns"


@dataclass(frozen=True, slots=True)
class Plan:
    """How the candidate draws: the helpers that it calls ahead of the step, once for every place in the text."""

    ahead: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Actions:
    """The return values that mean Forward and Abort at a hook."""

    forward: int
    abort: int
    reply: int | None = None  # sends a packet back on its way, where the hook can
    whole: bool = False  # packets go on behind their linear part


@dataclass(frozen=True, slots=True)
class Trap:
    """A division and the condition under which it is reached with a divisor of zero."""

    expr: core.Binary
    condition: Term


@dataclass(frozen=True, slots=True)
class Rpc:
    """The RPC of a packet: where it is remembered, until when, and what has been seen of it."""

    memory: HashMap
    key: Term
    until: Term
    seen: Term
    parts: tuple[Term, ...]

    def load(self, t: Terms, at: int, size: int) -> Term:
        """What was remembered before the packet."""
        return self.memory.load(t, self.key, t.const(64, at), size)


@dataclass(slots=True)
class Watch:
    """What a step says of itself beside its behaviour: divisions that may meet a zero, the condition on which the body runs,
    and for RPCs of several packets the RPC, the condition on which a decision is followed, and the time."""

    traps: list[Trap] = field(default_factory=list)
    begins: Term | None = None
    rpc: Rpc | None = None
    followed: Term | None = None
    now: Term | None = None


@dataclass(slots=True)
class Env:
    """Where a step stands: under `path`, with these values. `verdict` is None until the path has ended."""

    path: Term
    locals: dict[str, Term]
    state: dict[str, Term]
    maps: dict[str, HashMap]
    calls: dict[str, Term]
    sections: dict[str, Bytes] = field(default_factory=dict)  # as far as Vecs are written there
    fields: dict[str, Term] = field(default_factory=dict)  # of the message
    packet: Bytes | None = None  # None: as it came
    verdict: Term | None = None
    rpcs: HashMap | None = None  # None: as they were

    def copy(self) -> Env:
        return replace(
            self, locals=dict(self.locals), state=dict(self.state), maps=dict(self.maps), calls=dict(self.calls),
            sections=dict(self.sections), fields=dict(self.fields),
        )  # fmt: skip


@dataclass(slots=True)
class Evaluation:
    """Evaluates the expressions of one body."""

    t: Terms
    element: Element
    layout: Layout
    plan: Plan
    actions: Actions
    body: str
    finished: list[Env] = field(default_factory=list)
    before: dict[str, Term] = field(default_factory=dict)
    sections_before: dict[str, Bytes] = field(default_factory=dict)
    maps_before: dict[str, HashMap] = field(default_factory=dict)
    draw_locals: dict[str, facts.DrawRange] = field(default_factory=dict)
    define: Callable[[Term], Term] = lambda value: value
    settle: Callable[[Term], Term] = lambda value: value
    watch: Watch = field(default_factory=Watch)
    readings_before: int = 0  # of the clock, before the body
    used_float: bool = False  # a fixed-point operation was used: comparing draws with constants is exact without

    def finish(self, env: Env, action: int) -> None:
        """Puts a path aside that has ended."""
        env.verdict = self.t.const(32, action)
        self.finished.append(env)

    # --- values in memory -----------------------------------------------------------------------------------------------
    def from_memory(self, kind: Type, raw: Term) -> Term:
        return self.t.negate(self.t.eq(8, raw, self.t.const(8, 0))) if kind == BOOL else raw

    def to_memory(self, kind: Type, value: Term) -> Term:
        return self.t.ite(8, value, self.t.const(8, 1), self.t.const(8, 0)) if kind == BOOL else value

    def zero(self, kind: Type) -> Term:
        return self.t.false if kind == BOOL else self.t.const(width_of(kind), 0)

    # --- expressions --------------------------------------------------------------------------------------------------
    def value(self, expr: Expr, env: Env) -> Term:
        value = self._evaluated(expr, env)
        return self.settle(value) if expr.type == FLOAT else value

    def _evaluated(self, expr: Expr, env: Env) -> Term:
        t = self.t
        self.used_float |= expr.type == FLOAT and not isinstance(expr, core.Const)
        match expr:
            case core.Const():
                return self.constant(expr)
            case core.Local(name=name):
                value = env.locals[name]
                return self._uniform(value, self.draw_locals[name]) if name in self.draw_locals else value
            case core.StateVar(name=name):
                return env.state[name]
            case core.Unary(op="not", operand=operand):
                return t.negate(self.value(operand, env))
            case core.Unary(operand=operand):
                value = self.value(operand, env)
                return fixed.neg(t, value) if expr.type == FLOAT else t.sub(32, t.const(32, 0), value)
            case core.Binary(op="and" | "or"):
                return self._short_circuit(expr, env)
            case core.Binary():
                return self._binary(expr, env)
            case core.ToFloat(operand=operand):
                value = self.value(operand, env)
                if operand.type == INT:
                    return fixed.from_int(t, t.sext(value, 32, 64))
                return fixed.from_uint(t, t.zext(value, 32, 64))
            case core.Draw(low=low, high=high):
                return self._uniform(self.word(expr, env), facts.DrawRange(low, high))
            case core.Clock(site=site):
                return self._call(CLOCK, 64, site, env)
            case core.TimeDiff(later=later, earlier=earlier):
                a = self.value(later, env)
                return self.define(fixed.seconds_between(t, a, self.value(earlier, env)))
            case core.Field(name=name):
                return env.fields[name]
            case core.MessageSize():
                return env.fields[""]
            case core.TextSize(operand=operand):
                return t.zext(t.extract(self.value(operand, env), width_of(operand.type), 7, 0), 8, 32)
            case core.Widen(operand=operand):
                return t.zext(self.value(operand, env), width_of(operand.type), width_of(expr.type))
            case core.MakePair(items=items):
                return self._pair(expr.type, [self.to_memory(item.type, self.value(item, env)) for item in items])
            case core.Item(pair=pair, index=index):
                start = 8 * offsets(pair.type)[index]
                end = start + 8 * size_of(expr.type) - 1
                part = t.extract(self.value(pair, env), width_of(pair.type), end, start)
                return self.from_memory(expr.type, part)
            case core.VecSize(vec=vec):
                return self.vec_size(vec, env)
            case core.MapGet() | core.VecGet():
                raise AssertionError("the type checker lets get() stand only as the subject of a match")
        assert_never(expr)

    def constant(self, constant: core.Const) -> Term:
        value = constant.value
        if isinstance(value, bool):
            return self.t.truth(value)
        if isinstance(value, Fraction):
            return self.t.const(64, fixed.from_fraction(value))
        if isinstance(value, bytes):
            size = size_of(constant.type)
            return self.t.const(8 * size, int.from_bytes(text_bytes(value, size), "little"))
        assert isinstance(value, int)
        return self.t.const(64, fixed.from_fraction(Fraction(value))) if constant.type == FLOAT else self.t.const(32, value)

    def _pair(self, kind: Type, parts: list[Term]) -> Term:
        """Values in memory as a pair in memory, with zeros between them."""
        t = self.t
        memory = Bytes(lambda offset: t.const(8, 0))
        for at, part in zip(offsets(kind), parts, strict=True):
            memory = stored(t, memory, t.const(64, at), part.width // 8, part)
        whole = memory.load(t, t.const(64, 0), size_of(kind))
        assert isinstance(whole, Term)
        return whole

    # --- Vecs ---------------------------------------------------------------------------------------------------------
    def vec_size(self, name: str, env: Env) -> Term:
        section, offset = self.layout.scalars[name]
        size = env.sections[section].load(self.t, self.t.const(64, offset), 4)
        assert isinstance(size, Term)
        return size

    # --- calls and operators ------------------------------------------------------------------------------------------
    def _call(self, helper: str, width: int, site: int, env: Env) -> Term:
        t = self.t
        if helper in self.plan.ahead:
            return t.app(helper, width, t.const(16, site + (self.readings_before if helper == CLOCK else 0)))
        number = env.calls.get(helper, t.const(16, 0))
        env.calls[helper] = t.add(16, number, t.const(16, 1))
        return t.app(helper, width, number)

    def word(self, expr: Expr, env: Env) -> Term:
        """The 32-bit word behind a draw."""
        if isinstance(expr, core.Local):
            return env.locals[expr.name]
        assert isinstance(expr, core.Draw)
        return self._call(RANDOM, 32, expr.site, env)

    def _uniform(self, word: Term, bounds: facts.DrawRange) -> Term:
        t = self.t
        low = t.const(64, fixed.from_fraction(bounds.low))
        span = t.const(64, fixed.from_fraction(bounds.high - bounds.low))
        return fixed.uniform(t, t.zext(word, 32, 64), low, span)

    def _short_circuit(self, expr: core.Binary, env: Env) -> Term:
        """The right side happens only where the left one does not decide: its draws and traps are under that condition."""
        t = self.t
        left = self.value(expr.left, env)
        goes_on = left if expr.op == "and" else t.negate(left)
        inner = env.copy()
        inner.path = t.all_of(env.path, goes_on)
        right = self.value(expr.right, inner)
        zero = t.const(16, 0)
        for name, count in inner.calls.items():
            env.calls[name] = t.ite(16, goes_on, count, env.calls.get(name, zero))
        env.path = t.any_of(inner.path, t.all_of(env.path, t.negate(goes_on)))
        return t.all_of(left, right) if expr.op == "and" else t.any_of(left, right)

    def _binary(self, expr: core.Binary, env: Env) -> Term:
        t, kind = self.t, expr.left.type
        if kind == FLOAT and expr.op in ("lt", "le", "gt", "ge"):
            compared = self._compare_draw(expr, env)
            if compared is not None:
                return compared
        simple = facts.simple_factor(expr)
        if simple is not None:
            name, other, factor = simple
            operand, number = self.value(other, env), t.const(64, factor)
            if name == "part":
                return self.define(fixed.part(t, self.define(operand), number))
            return (fixed.scale if name == "scale" else fixed.shrink)(t, operand, number)
        a = self.value(expr.left, env)
        b = self.value(expr.right, env)
        if kind == FLOAT and expr.op in ("mul", "div"):
            a, b = self.define(a), self.define(b)
        match expr.op:
            case "eq":
                return self.equal_values(kind, a, b)
            case "ne":
                return t.negate(self.equal_values(kind, a, b))
            case "lt":
                return self._less(kind, a, b)
            case "gt":
                return self._less(kind, b, a)
            case "le":
                return t.negate(self._less(kind, b, a))
            case "ge":
                return t.negate(self._less(kind, a, b))
            case "min":
                return t.ite(a.width, self._less(kind, b, a), b, a)
            case "max":
                return t.ite(a.width, self._less(kind, a, b), b, a)
            case "div" | "rem":
                self._trap(expr, t.eq(b.width, b, t.const(b.width, 0)), env)
            case _:
                pass
        if kind == FLOAT:
            if expr.op == "div":
                return self.define(fixed.div(t, a, b, self._machine_division))
            if expr.op == "mul":
                return self.define(fixed.mul(t, a, b))
            return {"add": fixed.add, "sub": fixed.sub}[expr.op](t, a, b)
        return self._integer(expr.op, kind, a, b)

    def _machine_division(self, a: Term, b: Term) -> tuple[Term, Term]:
        """eBPF's own, so that the reference need not be told that no divisor inside a long division is zero."""
        return machine.alu(self.t, AluKind.UDIV, 64, a, b), machine.alu(self.t, AluKind.UMOD, 64, a, b)

    def _integer(self, op: str, kind: Type, a: Term, b: Term) -> Term:
        t = self.t
        signed = kind == INT
        alu = {
            "add": AluKind.ADD, "sub": AluKind.SUB, "mul": AluKind.MUL,
            "div": AluKind.SDIV if signed else AluKind.UDIV, "rem": AluKind.SMOD if signed else AluKind.UMOD,
        }[op]  # fmt: skip
        wide = machine.alu(t, alu, 32, t.zext(a, 32, 64), t.zext(b, 32, 64))
        return t.extract(wide, 64, 31, 0)

    def _less(self, kind: Type, a: Term, b: Term) -> Term:
        if kind == BOOL:
            return self.t.all_of(self.t.negate(a), b)
        return self.t.slt(a.width, a, b) if kind in (INT, FLOAT) else self.t.ult(a.width, a, b)

    def _trap(self, expr: core.Binary, zero: Term, env: Env) -> None:
        """Division by zero: the step aborts and leaves the state as it was."""
        t = self.t
        condition = t.all_of(env.path, zero)
        self.watch.traps.append(Trap(expr, condition))
        if expr.guarded or condition is t.false:
            return
        trapped = replace(
            env.copy(), path=t.all_of(env.path, zero), state=dict(self.before), maps=dict(self.maps_before),
            sections=dict(self.sections_before), packet=None,
        )  # fmt: skip
        self.finish(trapped, self.actions.abort)
        env.path = t.all_of(env.path, t.negate(zero))

    def _compare_draw(self, expr: core.Binary, env: Env) -> Term | None:
        """A draw against a number is decided by its word: below or not below the threshold (see `draw_comparison`)."""
        shape = draw_comparison(expr, self.draw_locals)
        if shape is None:
            return None
        t = self.t
        if shape.draw_first:
            word = self.word(shape.draw, env)
            limit = self._threshold(shape, env)
        else:
            limit = self._threshold(shape, env)
            word = self.word(shape.draw, env)
        below = t.ult(64, t.zext(word, 32, 64), limit)
        return below if shape.below else t.negate(below)

    def _threshold(self, shape: DrawComparison, env: Env) -> Term:
        if isinstance(shape.constant, int):
            return self.t.const(64, shape.constant)
        return fixed.threshold(self.t, self.value(shape.other, env))

    def equal_values(self, kind: Type, a: Term, b: Term) -> Term:
        """Are two values the same? Between the parts of a pair there may be anything."""
        if kind.name != "Pair":
            return self.equal(a, b)
        t, same = self.t, []
        for at, part in zip(offsets(kind), kind.args, strict=True):
            high = 8 * (at + size_of(part)) - 1
            sides = [self.from_memory(part, t.extract(side, side.width, high, 8 * at)) for side in (a, b)]
            same.append(self.equal_values(part, *sides))
        return t.all_of(*same)

    def equal(self, a: Term, b: Term) -> Term:
        if a.width == 0:
            return self.t.ite(0, a, b, self.t.negate(b))
        return self.t.eq(a.width, a, b)


def stored(t: Terms, memory: Bytes, offset: Term, size: int, value: Term) -> Bytes:
    """`value` in memory, in words, as a program would store it: what is loaded back word by word stays simple."""
    if size <= 8:
        return memory.store(t, offset, size, value)
    for low in range(0, size, 8):
        piece = min(8, size - low)
        part = t.extract(value, value.width, 8 * (low + piece) - 1, 8 * low)
        memory = memory.store(t, t.add(64, offset, t.const(64, low)), piece, part)
    return memory
