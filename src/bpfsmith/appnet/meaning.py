"""The symbolic meaning of AppNet: an element's `req` or `init` as a `Behaviour`, over the state where an object keeps it.

One run of a body is one step. Paths that end (Forward, Abort, a division by zero) are put aside with their condition and merged
at the end. Floats use the one definition in `fixed`; draws and clock readings are numbered either as they happen on the path
("in order") or by their place in the text ("ahead": all are made before the step, unused ones are discarded).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import assert_never

from bpfsmith.appnet import core, facts, fixed
from bpfsmith.appnet.core import BOOL, FLOAT, INSTANT, INT, UINT, Element, Expr, Stmt, Type
from bpfsmith.ir.ops import AluKind
from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics import eval as machine
from bpfsmith.semantics.behaviour import Behaviour, Field
from bpfsmith.semantics.memory import Bytes, HashMap, Initial
from bpfsmith.semantics.naming import Names
from bpfsmith.semantics.terms import Term, Terms

WIDTHS = {INT: 32, UINT: 32, FLOAT: 64, INSTANT: 64, BOOL: 0}
SIZES = {INT: 4, UINT: 4, FLOAT: 8, INSTANT: 8, BOOL: 1}
"""Bytes that a value of the type takes in memory."""

RANDOM, CLOCK = "bpf_get_prandom_u32", "bpf_ktime_get_ns"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an object keeps an element's state: scalars by (data section, offset), Maps by BPF map."""

    scalars: Mapping[str, tuple[str, int]]
    maps: Mapping[str, MapSpec]
    specs: tuple[MapSpec, ...]


def layout_apart(element: Element) -> Layout:
    """Places for an element's state where there is no object to look at: every scalar and every Map by itself."""
    scalars = {item.name: ("state", 16 * index) for index, item in enumerate(element.state) if item.type.name != "Map"}
    maps = {item.name: _map_apart(item) for item in element.state if item.type.name == "Map"}
    return Layout(scalars, maps, tuple(maps.values()))


def _map_apart(item: core.State) -> MapSpec:
    key, value = (SIZES[part] for part in item.type.args)
    return MapSpec(item.name, "BPF_MAP_TYPE_HASH", key, value, item.max_entries)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the candidate draws: the helpers that it calls ahead of the step, once for every place in the text."""

    ahead: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Actions:
    """The return values that mean Forward and Abort at a hook."""

    forward: int
    abort: int


@dataclass(frozen=True, slots=True)
class Trap:
    """A division and the condition under which it is reached with a divisor of zero."""

    expr: core.Binary
    condition: Term


@dataclass(slots=True)
class _Env:
    """Where a step stands: under `path`, with these values. `verdict` is None until the path has ended."""

    path: Term
    locals: dict[str, Term]
    state: dict[str, Term]
    maps: dict[str, HashMap]
    calls: dict[str, Term]
    verdict: Term | None = None

    def copy(self) -> _Env:
        return _Env(self.path, dict(self.locals), dict(self.state), dict(self.maps), dict(self.calls), self.verdict)


def behaviour(
    t: Terms,
    element: Element,
    layout: Layout,
    plan: Plan,
    actions: Actions,
    body: str = "req",
    names: Names | None = None,
    traps: list[Trap] | None = None,
) -> Behaviour:
    """What one step of `element` does to the state in `layout`; for `init`, from a state of zeros. `names` takes the values
    that go into long arithmetic, and what comes out of it. Divisions that may meet a zero are added to `traps`."""
    step = _Step(t, facts.with_constants(element), layout, plan, actions, body)
    if names is not None:
        step.define, step.settle, step.named = names.define, names.settle, facts.long_arithmetic_operands(step.statements)
    made = step.behaviour(facts.constants(element))
    if traps is not None:
        traps += step.traps
    return made


@dataclass(slots=True)
class _Step:
    t: Terms
    element: Element
    layout: Layout
    plan: Plan
    actions: Actions
    body: str
    finished: list[_Env] = field(default_factory=list)
    before: dict[str, Term] = field(default_factory=dict)
    maps_before: dict[str, HashMap] = field(default_factory=dict)
    draw_locals: dict[str, facts.DrawRange] = field(default_factory=dict)
    generation: int = 0
    define: Callable[[Term], Term] = lambda value: value
    settle: Callable[[Term], Term] = lambda value: value
    traps: list[Trap] = field(default_factory=list)
    named: frozenset[str] = frozenset()  # variables whose values are named wherever they arise
    used_float: bool = False  # a fixed-point operation was used: comparing draws with constants is exact without

    @property
    def statements(self) -> tuple[Stmt, ...]:
        return self.element.req if self.body == "req" else self.element.init

    # --- the step -----------------------------------------------------------------------------------------------------
    def behaviour(self, constants: Mapping[str, core.Const]) -> Behaviour:
        t = self.t
        statements = self.statements
        self.draw_locals = facts.draw_locals(statements)
        sections = {section: Bytes(self._initial(section)) for section, _ in self.layout.scalars.values()}
        self.before = {item.name: self._load(sections, item) for item in self.element.state if item.name in self.layout.scalars}
        self.maps_before = {
            name: HashMap.initial(t, spec.name, spec.key_size, spec.value_size) for name, spec in self.layout.maps.items()
        }
        start = _Env(t.true, {}, dict(self.before), dict(self.maps_before), {})
        if self.body == "init":
            start.state = {item.name: self._zero(item.type) for item in self.element.state if item.name in self.before}
        end = self._run(statements, start)
        if end is not None:
            self._finish(end, self.actions.forward)
        final = self._merge_finished()
        for item in self.element.state:
            if item.name in self.before and item.name not in constants:
                section, offset = self.layout.scalars[item.name]
                value = self._to_memory(item.type, final.state[item.name])
                sections[section] = sections[section].store(t, t.const(64, offset), SIZES[item.type], value)
        assert final.verdict is not None
        return Behaviour(
            name=self.element.name,
            return_value=final.verdict,
            data=sections,
            hashes={self.layout.maps[name].name: contents for name, contents in final.maps.items() if contents.touched},
            packet=None,
            calls={name: count for name, count in final.calls.items() if name not in self.plan.ahead},
            maps=self.layout.specs,
            preconditions=tuple(self._preconditions(constants)),
            assumptions=tuple(self._assumptions(constants)),
            observed=self._observed(),
            concedes_atomicity=self._conceded(statements),
        )

    def _initial(self, section: str) -> Initial:
        return lambda offset: self.t.app(f"map:{section}", 8, offset)

    def _load(self, sections: Mapping[str, Bytes], item: core.State) -> Term:
        section, offset = self.layout.scalars[item.name]
        raw = sections[section].load(self.t, self.t.const(64, offset), SIZES[item.type])
        assert isinstance(raw, Term)
        return self._from_memory(item.type, raw)

    def _from_memory(self, kind: Type, raw: Term) -> Term:
        return self.t.negate(self.t.eq(8, raw, self.t.const(8, 0))) if kind == BOOL else raw

    def _to_memory(self, kind: Type, value: Term) -> Term:
        return self.t.ite(8, value, self.t.const(8, 1), self.t.const(8, 0)) if kind == BOOL else value

    def _zero(self, kind: Type) -> Term:
        return self.t.false if kind == BOOL else self.t.const(WIDTHS[kind], 0)

    def _conceded(self, statements: tuple[Stmt, ...]) -> str:
        """With Maps a step takes several helper calls, and no lock can be held across one."""
        if self.body == "init":
            return "init runs alone: nothing else touches the state before the program is attached"
        changed = sorted(facts.written(statements))
        if not (changed and self.layout.maps):
            return ""
        return (
            "not atomic across CPUs: two CPUs that run a step at once may interleave between map helper calls, and an update "
            f"of {', '.join(changed)} can be lost (no lock can be held across a map helper)"
        )

    def _observed(self) -> dict[str, tuple[Field, ...]]:
        out: dict[str, list[Field]] = {}
        for item in self.element.state:
            if item.name in self.layout.scalars:
                section, offset = self.layout.scalars[item.name]
                out.setdefault(section, []).append(Field(f"state {item.name}", offset, SIZES[item.type]))
            elif item.name in self.layout.maps:
                out.setdefault(self.layout.maps[item.name].name, [])
        return {name: tuple(fields) for name, fields in out.items()}

    def _preconditions(self, constants: Mapping[str, core.Const]) -> list[Term]:
        """The invariant: what holds of the state before every step (init establishes it, each step keeps it)."""
        t, out = self.t, []
        for item in self.element.state:
            if item.name not in self.layout.scalars:
                continue
            section, offset = self.layout.scalars[item.name]
            raw = Bytes(self._initial(section)).load(t, t.const(64, offset), SIZES[item.type])
            assert isinstance(raw, Term)
            if self.body == "init":
                out.append(t.eq(raw.width, raw, t.const(raw.width, 0)))
            elif item.name in constants:
                value = self._to_memory(item.type, self._const(constants[item.name]))
                out.append(t.eq(raw.width, raw, value))
            elif item.type == BOOL:
                out.append(t.ult(8, raw, t.const(8, 2)))
        return out

    def _assumptions(self, constants: Mapping[str, core.Const]) -> list[str]:
        out = []
        if self.body == "init":
            out.append("init runs once, before the first packet, on zeroed state")
        for name, value in constants.items():
            shown = float(value.value) if isinstance(value.value, Fraction) else value.value
            out.append(
                f"invariant: {name} = {str(shown).lower() if isinstance(shown, bool) else shown} (set by init, never changed)"
            )
        for item in self.element.state:
            if item.type == BOOL and item.name not in constants and item.name in self.layout.scalars:
                out.append(f"invariant: {item.name} is stored as 0 or 1 (init and every step keep it so)")
        for name, spec in self.layout.maps.items():
            if name in facts.written(self.element.req if self.body == "req" else self.element.init):
                out.append(f"precondition: map {name} never fills up (it holds {spec.max_entries} entries)")
        statements = self.element.req if self.body == "req" else self.element.init
        draws = [expr for expr in facts.expressions(statements) if isinstance(expr, core.Draw)]
        if draws:
            out.append(f"{RANDOM} gives independent uniform 32-bit words (a probability is exact to 2^-32)")
        if any(isinstance(expr, core.Clock) for expr in facts.expressions(statements)):
            out.append(f"{CLOCK} does not go back")
        if RANDOM in self.plan.ahead:
            out.append("random words are drawn before the step, one for each randomf in the text; unused ones are discarded")
        if any(isinstance(expr, core.Clock) for expr in facts.expressions(statements)) and facts.written(statements):
            out.append("the clock may be read before the state is locked: another CPU's step may have seen a later instant")
        if CLOCK in self.plan.ahead:
            out.append("the clock is read before the step, once for each current_time in the text")
        if self.used_float:
            out.append(
                "float is fixed point: 32 fractional bits, range +-2^31, saturating; each operation errs by less than 2^-31"
            )
        return out

    # --- statements ---------------------------------------------------------------------------------------------------
    def _run(self, body: tuple[Stmt, ...], env: _Env) -> _Env | None:
        """Runs statements; None when every path has ended."""
        for statement in body:
            following = self._statement(statement, env)
            if following is None:
                return None
            env = following
        return env

    def _statement(self, statement: Stmt, env: _Env) -> _Env | None:
        t = self.t
        match statement:
            case core.SetLocal(name=name, value=value):
                env.locals[name] = (
                    self._word(value, env) if name in self.draw_locals else self._named(name, self._expr(value, env))
                )
            case core.SetState(name=name, value=value):
                env.state[name] = self._named(name, self._expr(value, env))
            case core.MapSet(map=name, key=key, value=value):
                where = self._key(key, env)
                kind = self.element.variable(name).type.args[1]
                raw = self._to_memory(kind, self._expr(value, env))
                size = self.layout.maps[name].value_size
                contents = Bytes(lambda offset: t.const(8, 0)).store(t, t.const(64, 0), min(size, SIZES[kind]), raw)
                self.generation += 1
                env.maps[name] = env.maps[name].insert(t.true, where, contents, t.const(32, self.generation))
            case core.MapDelete(map=name, key=key):
                env.maps[name] = env.maps[name].delete(t.true, self._key(key, env))
            case core.Evaluate(value=value):
                self._expr(value, env)
            case core.Forward() | core.Abort():
                self._finish(env, self.actions.forward if isinstance(statement, core.Forward) else self.actions.abort)
                return None
            case core.Match():
                return self._match(statement, env)
        return env

    def _finish(self, env: _Env, action: int) -> None:
        env.verdict = self.t.const(32, action)
        self.finished.append(env)

    def _match(self, statement: core.Match, env: _Env) -> _Env | None:
        t, subject = self.t, statement.subject
        entry: Term | None = None
        if isinstance(subject, core.MapGet):
            key = self._key(subject.key, env)
            value = env.maps[subject.map].present(t, key)
            kind = self.element.variable(subject.map).type.args[1]
            entry = self._from_memory(kind, env.maps[subject.map].load(t, key, t.const(64, 0), SIZES[kind]))
        else:
            value = self._expr(subject, env)
        live: list[_Env] = []
        left = env
        for arm in statement.arms:
            hit = self._matches(arm.pattern, value, subject.type)
            taken = left.copy()
            taken.path = t.all_of(left.path, hit)
            left = left.copy()
            left.path = t.all_of(left.path, t.negate(hit))
            if taken.path is not t.false:
                if isinstance(arm.pattern, core.Some) and entry is not None:
                    taken.locals[arm.pattern.name] = entry
                after = self._run(arm.body, taken)
                if after is not None:
                    live.append(after)
        if left.path is not t.false:
            live.append(left)
        return self._named_all(self._merge(live)) if live else None

    def _key(self, expr: Expr, env: _Env) -> Term:
        """A map key as it lies in memory."""
        return self._to_memory(expr.type, self._expr(expr, env))

    def _matches(self, pattern: core.Pattern, value: Term, kind: Type) -> Term:
        t = self.t
        match pattern:
            case core.Anything():
                return t.true
            case core.Some():
                return value
            case core.Nothing():
                return t.negate(value)
            case core.Equals(value=constant):
                wanted = self._const(constant)
                return self._equal(value, wanted)
        assert_never(pattern)

    def _equal(self, a: Term, b: Term) -> Term:
        if a.width == 0:
            return self.t.ite(0, a, b, self.t.negate(b))
        return self.t.eq(a.width, a, b)

    # --- merging ------------------------------------------------------------------------------------------------------
    def _merge(self, envs: list[_Env]) -> _Env:
        merged = envs[-1]
        for env in reversed(envs[:-1]):
            merged = self._choose(env, merged)
        return merged

    def _merge_finished(self) -> _Env:
        return self._merge(self.finished)

    def _choose(self, a: _Env, b: _Env) -> _Env:
        """`a` where its path was taken, else `b`."""
        t, condition = self.t, a.path
        zero = t.const(16, 0)
        verdict = None
        if a.verdict is not None and b.verdict is not None:
            verdict = t.ite(32, condition, a.verdict, b.verdict)
        return _Env(
            t.any_of(a.path, b.path),
            {name: t.ite(v.width, condition, v, b.locals[name]) for name, v in a.locals.items() if name in b.locals},
            {name: t.ite(v.width, condition, v, b.state[name]) for name, v in a.state.items()},
            {name: contents.merge(condition, b.maps[name]) for name, contents in a.maps.items()},
            {
                name: t.ite(16, condition, a.calls.get(name, zero), b.calls.get(name, zero))
                for name in sorted(a.calls.keys() | b.calls.keys())
            },
            verdict,
        )

    def _named(self, variable: str, value: Term) -> Term:
        return self.define(value) if variable in self.named else value

    def _named_all(self, env: _Env) -> _Env:
        for values in (env.locals, env.state):
            values.update({name: self._named(name, value) for name, value in values.items()})
        return env

    # --- expressions --------------------------------------------------------------------------------------------------
    def _expr(self, expr: Expr, env: _Env) -> Term:
        value = self._evaluated(expr, env)
        return self.settle(value) if expr.type == FLOAT else value

    def _evaluated(self, expr: Expr, env: _Env) -> Term:
        t = self.t
        self.used_float |= expr.type == FLOAT and not isinstance(expr, core.Const)
        match expr:
            case core.Const():
                return self._const(expr)
            case core.Local(name=name):
                value = env.locals[name]
                return self._uniform(value, self.draw_locals[name]) if name in self.draw_locals else value
            case core.StateVar(name=name):
                return env.state[name]
            case core.Unary(op="not", operand=operand):
                return t.negate(self._expr(operand, env))
            case core.Unary(operand=operand):
                value = self._expr(operand, env)
                return fixed.neg(t, value) if expr.type == FLOAT else t.sub(32, t.const(32, 0), value)
            case core.Binary(op="and" | "or"):
                return self._short_circuit(expr, env)
            case core.Binary():
                return self._binary(expr, env)
            case core.ToFloat(operand=operand):
                value = self._expr(operand, env)
                if operand.type == INT:
                    return fixed.from_int(t, t.sext(value, 32, 64))
                return fixed.from_uint(t, t.zext(value, 32, 64))
            case core.Draw(low=low, high=high):
                return self._uniform(self._word(expr, env), facts.DrawRange(low, high))
            case core.Clock(site=site):
                return self._call(CLOCK, 64, site, env)
            case core.TimeDiff(later=later, earlier=earlier):
                a = self._expr(later, env)
                return self.define(fixed.seconds_between(t, a, self._expr(earlier, env)))
            case core.MapGet():
                raise AssertionError("the type checker lets get() stand only as the subject of a match")
        assert_never(expr)

    def _const(self, constant: core.Const) -> Term:
        value = constant.value
        if isinstance(value, bool):
            return self.t.truth(value)
        if isinstance(value, Fraction):
            return self.t.const(64, fixed.from_fraction(value))
        assert isinstance(value, int)
        return self.t.const(64, fixed.from_fraction(Fraction(value))) if constant.type == FLOAT else self.t.const(32, value)

    def _call(self, helper: str, width: int, site: int, env: _Env) -> Term:
        t = self.t
        if helper in self.plan.ahead:
            return t.app(helper, width, t.const(16, site))
        number = env.calls.get(helper, t.const(16, 0))
        env.calls[helper] = t.add(16, number, t.const(16, 1))
        return t.app(helper, width, number)

    def _word(self, expr: Expr, env: _Env) -> Term:
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

    def _short_circuit(self, expr: core.Binary, env: _Env) -> Term:
        """The right side happens only where the left one does not decide: its draws and traps are under that condition."""
        t = self.t
        left = self._expr(expr.left, env)
        goes_on = left if expr.op == "and" else t.negate(left)
        inner = env.copy()
        inner.path = t.all_of(env.path, goes_on)
        right = self._expr(expr.right, inner)
        zero = t.const(16, 0)
        for name, count in inner.calls.items():
            env.calls[name] = t.ite(16, goes_on, count, env.calls.get(name, zero))
        env.path = t.any_of(inner.path, t.all_of(env.path, t.negate(goes_on)))
        return t.all_of(left, right) if expr.op == "and" else t.any_of(left, right)

    def _binary(self, expr: core.Binary, env: _Env) -> Term:
        t, kind = self.t, expr.left.type
        if kind == FLOAT and expr.op in ("lt", "le", "gt", "ge"):
            compared = self._compare_draw(expr, env)
            if compared is not None:
                return compared
        simple = facts.simple_factor(expr)
        if simple is not None:
            name, other, factor = simple
            operand, number = self._expr(other, env), t.const(64, factor)
            if name == "part":
                return self.define(fixed.part(t, self.define(operand), number))
            return (fixed.scale if name == "scale" else fixed.shrink)(t, operand, number)
        a = self._expr(expr.left, env)
        b = self._expr(expr.right, env)
        if kind == FLOAT and expr.op in ("mul", "div"):
            a, b = self.define(a), self.define(b)
        match expr.op:
            case "eq":
                return self._equal(a, b)
            case "ne":
                return t.negate(self._equal(a, b))
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

    def _trap(self, expr: core.Binary, zero: Term, env: _Env) -> None:
        """Division by zero: the step aborts and leaves the state as it was."""
        t = self.t
        condition = t.all_of(env.path, zero)
        self.traps.append(Trap(expr, condition))
        if expr.guarded or condition is t.false:
            return
        trapped = replace(env.copy(), path=t.all_of(env.path, zero), state=dict(self.before), maps=dict(self.maps_before))
        self._finish(trapped, self.actions.abort)
        env.path = t.all_of(env.path, t.negate(zero))

    def _compare_draw(self, expr: core.Binary, env: _Env) -> Term | None:
        """A draw against a number is decided by its word: below or not below the threshold (see `draw_comparison`)."""
        shape = draw_comparison(expr, self.draw_locals)
        if shape is None:
            return None
        t = self.t
        if shape.draw_first:
            word = self._word(shape.draw, env)
            limit = self._threshold(shape, env)
        else:
            limit = self._threshold(shape, env)
            word = self._word(shape.draw, env)
        below = t.ult(64, t.zext(word, 32, 64), limit)
        return below if shape.below else t.negate(below)

    def _threshold(self, shape: DrawComparison, env: _Env) -> Term:
        if isinstance(shape.constant, int):
            return self.t.const(64, shape.constant)
        return fixed.threshold(self.t, self._expr(shape.other, env))


@dataclass(frozen=True, slots=True)
class DrawComparison:
    """`draw` compared with `other`: true iff the word is below the threshold (`below`) or not below it.

    With word w, the real that was drawn lies uniformly in [w, w + 1) / 2**32 of the range, so `<` and `<=` are "w < T" and `>`
    and `>=` are "w >= T". `constant` is T when `other` is constant, else T is fx_threshold(other)."""

    draw: Expr
    other: Expr
    draw_first: bool
    below: bool
    constant: int | None


def draw_comparison(expr: core.Binary, draws: Mapping[str, facts.DrawRange]) -> DrawComparison | None:
    """Recognises a draw (or a local that is one) beside a constant, or beside any float for a draw from [0, 1)."""
    for draw, other, first in ((expr.left, expr.right, True), (expr.right, expr.left, False)):
        bounds = _draw_range(draw, draws)
        if bounds is None or _draw_range(other, draws) is not None:
            continue
        below = expr.op in ("lt", "le") if first else expr.op in ("gt", "ge")
        if isinstance(other, core.Const):
            share = (Fraction(other.value) - bounds.low) / (bounds.high - bounds.low)
            return DrawComparison(draw, other, first, below, fixed.exact_threshold(share))
        if bounds == facts.DrawRange(Fraction(0), Fraction(1)):
            return DrawComparison(draw, other, first, below, None)
    return None


def _draw_range(expr: Expr, draws: Mapping[str, facts.DrawRange]) -> facts.DrawRange | None:
    if isinstance(expr, core.Draw):
        return facts.DrawRange(expr.low, expr.high)
    return draws.get(expr.name) if isinstance(expr, core.Local) else None
