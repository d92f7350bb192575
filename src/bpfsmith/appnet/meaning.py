"""The symbolic meaning of AppNet: an element's `req`, `resp` or `init` as a `Behaviour` over the state as an object keeps it.

One run of a body is one step. Paths that end (Forward, Abort, a division by zero) are put aside with their condition and merged
at the end. Floats use the one definition in `fixed`; draws and clock readings are numbered either as they happen on the path
("in order") or by their place in the text ("ahead": all are made before the step, unused ones are discarded).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import assert_never

from bpfsmith.appnet import core, facts, fixed
from bpfsmith.appnet.arrivals import read_terms, replied, write_field
from bpfsmith.appnet.core import BOOL, FLOAT, INT, Element, Expr, Stmt, Type
from bpfsmith.appnet.shapes import offsets, size_of, text_bytes, width_of
from bpfsmith.ir.ops import AluKind
from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics import eval as machine
from bpfsmith.semantics.behaviour import Behaviour, Elsewhere, Field
from bpfsmith.semantics.fork import branch
from bpfsmith.semantics.memory import Bytes, HashMap, Initial, merge_bytes
from bpfsmith.semantics.naming import Names
from bpfsmith.semantics.recorded import untouched_packet
from bpfsmith.semantics.terms import Term, Terms

RANDOM, CLOCK = "bpf_get_prandom_u32", "bpf_ktime_get_ns"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an object keeps an element's state: scalars by (data section, offset), Maps by BPF map."""

    scalars: Mapping[str, tuple[str, int]]
    maps: Mapping[str, MapSpec]
    specs: tuple[MapSpec, ...]


def layout_apart(element: Element) -> Layout:
    """Places for an element's state where there is no object to look at: every scalar and every Map by itself."""
    scalars, at = {}, 0
    for item in element.state:
        if item.type.name != "Map":
            scalars[item.name] = ("state", at)
            at += (state_bytes(item) + 15) // 16 * 16
    maps = {item.name: _map_apart(item) for item in element.state if item.type.name == "Map"}
    return Layout(scalars, maps, tuple(maps.values()))


def _map_apart(item: core.State) -> MapSpec:
    key, value = (size_of(part) for part in item.type.args)
    return MapSpec(item.name, "BPF_MAP_TYPE_HASH", key, value, item.max_entries)


VEC_ITEMS = 8
"""Where the items of a Vec begin; before them stands their number, in 32 bits."""


def state_bytes(item: core.State) -> int:
    """Bytes that a scalar or a Vec takes in its data section."""
    if item.type.name == "Vec":
        return VEC_ITEMS + item.max_entries * stride(item)
    return size_of(item.type)


def stride(item: core.State) -> int:
    """Bytes from one item of a Vec to the next."""
    return (size_of(item.type) + 7) // 8 * 8


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
    sections: dict[str, Bytes] = field(default_factory=dict)  # as far as Vecs are written there
    fields: dict[str, Term] = field(default_factory=dict)  # of the message
    packet: Bytes | None = None  # None: as it came
    verdict: Term | None = None

    def copy(self) -> _Env:
        return replace(
            self, locals=dict(self.locals), state=dict(self.state), maps=dict(self.maps), calls=dict(self.calls),
            sections=dict(self.sections), fields=dict(self.fields),
        )  # fmt: skip


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
    sections_before: dict[str, Bytes] = field(default_factory=dict)
    packet: Bytes = field(init=False)  # as it came
    places: dict[str, Term] = field(default_factory=dict)  # where the fields of the message lie
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
        return self.element.body(self.body)

    # --- the step -----------------------------------------------------------------------------------------------------
    def behaviour(self, constants: Mapping[str, core.Const]) -> Behaviour:
        t = self.t
        statements = self.statements
        self.draw_locals = facts.draw_locals(statements)
        sections = {section: Bytes(self._initial(section)) for section, _ in self.layout.scalars.values()}
        plain = [item for item in self.element.state if item.name in self.layout.scalars and item.type.name != "Vec"]
        self.before = {item.name: self._load(sections, item) for item in plain}
        self.maps_before = {
            name: HashMap.initial(t, spec.name, spec.key_size, spec.value_size) for name, spec in self.layout.maps.items()
        }
        self.sections_before = dict(sections)
        start = _Env(t.true, {}, dict(self.before), dict(self.maps_before), {}, dict(sections))
        if self.body == "init":
            start.state = {item.name: self._zero(item.type) for item in plain}
        else:
            self._receive(start)
        end = self._run(statements, start)
        if end is not None:
            self._finish(end, self.actions.forward)
        final = self._merge_finished()
        sections = final.sections
        for item in plain:
            if item.name not in constants:
                section, offset = self.layout.scalars[item.name]
                value = self._to_memory(item.type, final.state[item.name])
                sections[section] = stored(t, sections[section], t.const(64, offset), size_of(item.type), value)
        assert final.verdict is not None
        return Behaviour(
            name=self.element.name,
            return_value=final.verdict,
            data=sections,
            hashes={self.layout.maps[name].name: contents for name, contents in final.maps.items() if contents.touched},
            packet=None
            if final.packet is None
            else replace(untouched_packet(t), parts=((t.true, final.packet, t.const(64, 0)),)),
            calls={name: count for name, count in final.calls.items() if name not in self.plan.ahead},
            maps=self.layout.specs,
            preconditions=tuple(self._preconditions(constants)),
            assumptions=tuple(self._assumptions(constants)),
            observed=self._observed(),
            concedes_atomicity=self._conceded(statements),
            elsewhere=tuple(self._elsewhere()),
        )

    def _initial(self, section: str) -> Initial:
        return lambda offset: self.t.app(f"map:{section}", 8, offset)

    def _load(self, sections: Mapping[str, Bytes], item: core.State) -> Term:
        section, offset = self.layout.scalars[item.name]
        raw = sections[section].load(self.t, self.t.const(64, offset), size_of(item.type))
        assert isinstance(raw, Term)
        return self._from_memory(item.type, raw)

    def _from_memory(self, kind: Type, raw: Term) -> Term:
        return self.t.negate(self.t.eq(8, raw, self.t.const(8, 0))) if kind == BOOL else raw

    def _to_memory(self, kind: Type, value: Term) -> Term:
        return self.t.ite(8, value, self.t.const(8, 1), self.t.const(8, 0)) if kind == BOOL else value

    def _zero(self, kind: Type) -> Term:
        return self.t.false if kind == BOOL else self.t.const(width_of(kind), 0)

    def _conceded(self, statements: tuple[Stmt, ...]) -> str:
        """With Maps a step takes several helper calls, and no lock can be held across one."""
        if self.body == "init":
            return "init runs alone: nothing else touches the state before the program is attached"
        changed = sorted(name for step in self.element.steps for name in facts.written(self.element.body(step)))
        if not (changed and self.layout.maps):
            return ""
        return (
            "not atomic across CPUs: two CPUs that run a step at once may interleave between map helper calls, and an update "
            f"of {', '.join(changed)} can be lost (no lock can be held across a map helper)"
        )

    def _elsewhere(self) -> Iterator[Elsewhere]:
        """The state that the element's other step reads or writes, as far as any step writes it."""
        for step in self.element.steps if self.body != "init" else ():
            others = self.element.body(step)
            if step == self.body:
                continue
            looked_up = {expr.map for expr in facts.expressions(others) if isinstance(expr, core.MapGet)}
            for name in sorted(facts.written(others) | facts.read(others) | looked_up):
                if name in self.layout.maps and name in self._changed_in_steps:
                    yield Elsewhere(self.layout.maps[name].name, 0, self.layout.maps[name].value_size, False)
                if name in self.layout.scalars and name in self._changed_in_steps:
                    section, offset = self.layout.scalars[name]
                    size = state_bytes(self.element.variable(name))
                    yield Elsewhere(section, offset, size, facts.only_added(others, name))

    @property
    def _changed_in_steps(self) -> frozenset[str]:
        return frozenset().union(*(facts.written(self.element.body(step)) for step in self.element.steps))

    def _observed(self) -> dict[str, tuple[Field, ...]]:
        out: dict[str, list[Field]] = {}
        for item in self.element.state:
            if item.name in self.layout.scalars:
                section, offset = self.layout.scalars[item.name]
                out.setdefault(section, []).append(Field(f"state {item.name}", offset, state_bytes(item)))
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
            size = 4 if item.type.name == "Vec" else size_of(item.type)
            raw = Bytes(self._initial(section)).load(t, t.const(64, offset), size)
            assert isinstance(raw, Term)
            if self.body == "init":
                out.append(t.eq(raw.width, raw, t.const(raw.width, 0)))
            elif item.type.name == "Vec":
                out.append(t.negate(t.ult(32, t.const(32, item.max_entries), raw)))
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
            out.append(f"invariant: {name} = {facts.shown(value)} (set by init, never changed)")
        for item in self.element.state:
            if item.type == BOOL and item.name not in constants and item.name in self.layout.scalars:
                out.append(f"invariant: {item.name} is stored as 0 or 1 (init and every step keep it so)")
        for item in self.element.state:
            if item.type.name == "Vec" and item.name in self.layout.scalars:
                out.append(f"invariant: {item.name} has at most {item.max_entries} items (init and every step keep it so)")
                if item.name in facts.written(self.statements):
                    out.append(f"what is appended to {item.name} when it has {item.max_entries} items is lost")
        out += self._message_assumptions()
        for name, spec in self.layout.maps.items():
            if name in facts.written(self.statements):
                out.append(f"precondition: map {name} never fills up (it holds {spec.max_entries} entries)")
        statements = self.statements
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
                nothing = Bytes(lambda offset: t.const(8, 0))
                contents = stored(t, nothing, t.const(64, 0), size_of(kind), raw)
                self.generation += 1
                env.maps[name] = env.maps[name].insert(t.true, where, contents, t.const(32, self.generation))
            case core.MapDelete(map=name, key=key):
                env.maps[name] = env.maps[name].delete(t.true, self._key(key, env))
            case core.VecSet():
                self._set_item(statement, env)
            case core.SetField(name=name, value=value):
                self._set_field(name, self._expr(value, env), env)
            case core.Evaluate(value=value):
                self._expr(value, env)
            case core.Forward() | core.Abort():
                if isinstance(statement, core.Forward):
                    self._finish(env, self.actions.forward)
                else:
                    self._refuse(env)
                return None
            case core.Match():
                return self._match(statement, env)
        return env

    def _finish(self, env: _Env, action: int) -> None:
        env.verdict = self.t.const(32, action)
        self.finished.append(env)

    def _refuse(self, env: _Env) -> None:
        """An error drops the message, or goes back to its sender where the binding defines a reply."""
        binding = self.element.binding
        if binding is None or binding.reply is None or self.actions.reply is None:
            self._finish(env, self.actions.abort)
            return
        env.packet = replied(self.t, env.packet or self.packet, binding)
        self._finish(env, self.actions.reply)

    def _match(self, statement: core.Match, env: _Env) -> _Env | None:
        t, subject = self.t, statement.subject
        entry: Term | None = None
        if isinstance(subject, core.MapGet):
            key = self._key(subject.key, env)
            value = env.maps[subject.map].present(t, key)
            kind = self.element.variable(subject.map).type.args[1]
            entry = self._from_memory(kind, env.maps[subject.map].load(t, key, t.const(64, 0), size_of(kind)))
        elif isinstance(subject, core.VecGet):
            index = self._expr(subject.index, env)
            value = t.ult(32, index, self._vec_size(subject.vec, env))
            section, at = self._vec_item(subject.vec, index)
            item = self.element.variable(subject.vec)
            raw = env.sections[section].load(t, at, size_of(item.type))
            assert isinstance(raw, Term)
            entry = self._from_memory(item.type.args[0], raw)
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

    def _equal_values(self, kind: Type, a: Term, b: Term) -> Term:
        """Are two values the same? Between the parts of a pair there may be anything."""
        if kind.name != "Pair":
            return self._equal(a, b)
        t, same = self.t, []
        for at, part in zip(offsets(kind), kind.args, strict=True):
            high = 8 * (at + size_of(part)) - 1
            sides = [self._from_memory(part, t.extract(side, side.width, high, 8 * at)) for side in (a, b)]
            same.append(self._equal_values(part, *sides))
        return t.all_of(*same)

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
            {name: merge_bytes(branch(t, condition), memory, b.sections[name]) for name, memory in a.sections.items()},
            {
                name: t.ite(value.width, condition, value, b.fields[name])
                for name, value in a.fields.items()
                if name in b.fields
            },
            self._chosen_packet(condition, a.packet, b.packet),
            verdict,
        )

    def _chosen_packet(self, condition: Term, a: Bytes | None, b: Bytes | None) -> Bytes | None:
        if a is b:
            return a
        came = self.packet
        return merge_bytes(branch(self.t, condition), a or came, b or came)

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
            case core.Field(name=name):
                return env.fields[name]
            case core.MessageSize():
                return env.fields[""]
            case core.TextSize(operand=operand):
                return t.zext(t.extract(self._expr(operand, env), width_of(operand.type), 7, 0), 8, 32)
            case core.Widen(operand=operand):
                return t.zext(self._expr(operand, env), width_of(operand.type), width_of(expr.type))
            case core.MakePair(items=items):
                return self._pair(expr.type, [self._to_memory(item.type, self._expr(item, env)) for item in items])
            case core.Item(pair=pair, index=index):
                start = 8 * offsets(pair.type)[index]
                end = start + 8 * size_of(expr.type) - 1
                part = t.extract(self._expr(pair, env), width_of(pair.type), end, start)
                return self._from_memory(expr.type, part)
            case core.VecSize(vec=vec):
                return self._vec_size(vec, env)
            case core.MapGet() | core.VecGet():
                raise AssertionError("the type checker lets get() stand only as the subject of a match")
        assert_never(expr)

    def _const(self, constant: core.Const) -> Term:
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
    def _vec_size(self, name: str, env: _Env) -> Term:
        section, offset = self.layout.scalars[name]
        size = env.sections[section].load(self.t, self.t.const(64, offset), 4)
        assert isinstance(size, Term)
        return size

    def _vec_item(self, name: str, index: Term) -> tuple[str, Term]:
        """Where an item lies, for an index of 32 bits."""
        t, item = self.t, self.element.variable(name)
        section, offset = self.layout.scalars[name]
        distance = t.mul(64, t.zext(index, 32, 64), t.const(64, stride(item)))
        return section, t.add(64, t.const(64, offset + VEC_ITEMS), distance)

    def _set_item(self, statement: core.VecSet, env: _Env) -> None:
        t, item = self.t, self.element.variable(statement.vec)
        size = self._vec_size(item.name, env)
        index = size if statement.index is None else self._expr(statement.index, env)
        value = self._to_memory(item.type.args[0], self._expr(statement.value, env))
        size = self._vec_size(item.name, env)
        room = t.ult(32, index, t.const(32, item.max_entries))
        fits = t.all_of(room, t.negate(t.ult(32, size, index)))
        grows = t.all_of(fits, t.eq(32, index, size))
        section, at = self._vec_item(item.name, index)
        memory = env.sections[section]
        for low in range(0, size_of(item.type), 8):
            piece = min(8, size_of(item.type) - low)
            where = t.add(64, at, t.const(64, low))
            old = memory.load(t, where, piece)
            assert isinstance(old, Term)
            new = t.extract(value, value.width, 8 * (low + piece) - 1, 8 * low)
            memory = memory.store(t, where, piece, t.ite(8 * piece, fits, new, old))
        start = t.const(64, self.layout.scalars[item.name][1])
        grown = t.ite(32, grows, t.add(32, size, t.const(32, 1)), size)
        env.sections[section] = memory.store(t, start, 4, grown)

    # --- the message --------------------------------------------------------------------------------------------------
    def _receive(self, env: _Env) -> None:
        """Goes on with packets that are messages; others are forwarded as they are."""
        t, binding = self.t, self.element.binding
        if binding is None:
            return
        message = read_terms(t, binding, self.body, self.statements)
        self.packet, self.places = message.packet, dict(message.places)
        others = env.copy()
        others.path = t.negate(message.ours)
        if others.path is not t.false:
            self._finish(others, self.actions.forward)
        broken = env.copy()
        broken.path = t.all_of(message.ours, t.negate(message.readable))
        if broken.path is not t.false:
            self._finish(broken, self.actions.forward if binding.unreadable == "forward" else self.actions.abort)
        env.path = t.all_of(message.ours, message.readable)
        env.fields = {**message.fields}

    def _set_field(self, name: str, value: Term, env: _Env) -> None:
        t, binding = self.t, self.element.binding
        assert binding is not None
        item = binding.field(self.body, name)
        assert item is not None
        env.fields[name] = value
        env.packet = write_field(t, env.packet or self.packet, item, self.places[name], value)

    def _message_assumptions(self) -> Iterator[str]:
        binding = self.element.binding
        if binding is None or self.body == "init":
            return
        words = "requests to" if self.body == "req" else "responses from"
        yield (
            f"messages are {words} UDP port {binding.port} over IPv4 without options or fragments, in one piece; all else is "
            "forwarded unseen"
        )
        if facts.needs_message(self.statements):
            then = _UNREADABLE[binding.unreadable]
            yield f"a message whose fields cannot be read, or are longer than the binding admits, is {then}"
        aborts = any(isinstance(item, core.Abort) for item in facts.statements(self.statements))
        if binding.reply is not None and aborts and self.actions.reply is not None:
            yield "an error goes back to its sender: addresses and ports change places, the UDP checksum becomes 0 (RFC 768)"
        if facts.fields_set(self.statements):
            yield "where a field is set, the UDP checksum becomes 0: none computed (RFC 768)"

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
                return self._equal_values(kind, a, b)
            case "ne":
                return t.negate(self._equal_values(kind, a, b))
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
        trapped = replace(
            env.copy(), path=t.all_of(env.path, zero), state=dict(self.before), maps=dict(self.maps_before),
            sections=dict(self.sections_before), packet=None,
        )  # fmt: skip
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


_UNREADABLE = {"forward": "forwarded as it is", "drop": "dropped"}


def stored(t: Terms, memory: Bytes, offset: Term, size: int, value: Term) -> Bytes:
    """`value` in memory, in words, as a program would store it: what is loaded back word by word stays simple."""
    if size <= 8:
        return memory.store(t, offset, size, value)
    for low in range(0, size, 8):
        piece = min(8, size - low)
        part = t.extract(value, value.width, 8 * (low + piece) - 1, 8 * low)
        memory = memory.store(t, t.add(64, offset, t.const(64, low)), piece, part)
    return memory


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
        if isinstance(other, core.Const) and not isinstance(other.value, bytes):
            share = (Fraction(other.value) - bounds.low) / (bounds.high - bounds.low)
            return DrawComparison(draw, other, first, below, fixed.exact_threshold(share))
        if bounds == facts.DrawRange(Fraction(0), Fraction(1)):
            return DrawComparison(draw, other, first, below, None)
    return None


def _draw_range(expr: Expr, draws: Mapping[str, facts.DrawRange]) -> facts.DrawRange | None:
    if isinstance(expr, core.Draw):
        return facts.DrawRange(expr.low, expr.high)
    return draws.get(expr.name) if isinstance(expr, core.Local) else None
