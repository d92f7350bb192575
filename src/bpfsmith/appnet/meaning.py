"""The symbolic meaning of AppNet: an element's `req`, `resp` or `init` as a `Behaviour` over the state as an object keeps it.

One run of a body is one step. Paths that end (Forward, Abort, a division by zero) are put aside with their condition and merged
at the end. Floats use the one definition in `fixed`; draws and clock readings are numbered either as they happen on the path
("in order") or by their place in the text ("ahead": all are made before the step, unused ones are discarded).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.assumptions import Told, assumed
from bpfsmith.appnet.core import BOOL, Element, Expr, Stmt, Type
from bpfsmith.appnet.evaluation import Actions, Env, Plan, Watch, stored
from bpfsmith.appnet.layout import VEC_ITEMS, Layout, state_bytes, stride
from bpfsmith.appnet.receiving import Receiving
from bpfsmith.appnet.shapes import size_of
from bpfsmith.semantics.behaviour import Behaviour, Elsewhere, Field
from bpfsmith.semantics.fork import branch
from bpfsmith.semantics.memory import Bytes, HashMap, Initial, merge_bytes
from bpfsmith.semantics.naming import Names
from bpfsmith.semantics.recorded import untouched_packet
from bpfsmith.semantics.terms import Term, Terms


def behaviour(
    t: Terms,
    element: Element,
    layout: Layout,
    plan: Plan,
    actions: Actions,
    body: str = "req",
    names: Names | None = None,
    watch: Watch | None = None,
) -> Behaviour:
    """What one step of `element` does to the state in `layout`; for `init`, from a state of zeros. `names` takes the values
    that go into long arithmetic, and what comes out of it. `watch` is told more."""
    step = _Step(t, facts.with_constants(element), layout, plan, actions, body)
    step.watch = watch or Watch()
    if names is not None:
        step.define, step.settle, step.named = names.define, names.settle, facts.long_arithmetic_operands(step.statements)
    return step.behaviour(facts.constants(element))


@dataclass(slots=True)
class _Step(Receiving):
    named: frozenset[str] = frozenset()  # variables whose values are named wherever they arise

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
        start = Env(t.true, {}, dict(self.before), dict(self.maps_before), {}, dict(sections))
        if self.body == "init":
            start.state = {item.name: self.zero(item.type) for item in plain}
        else:
            self.receive(start)
        end = self._run(statements, start)
        if end is not None:
            self.finish(end, self.actions.forward)
        final = self._merge_finished()
        sections = final.sections
        for item in plain:
            if item.name not in constants:
                section, offset = self.layout.scalars[item.name]
                value = self.to_memory(item.type, final.state[item.name])
                sections[section] = stored(t, sections[section], t.const(64, offset), size_of(item.type), value)
        assert final.verdict is not None
        return Behaviour(
            name=self.element.name,
            return_value=final.verdict,
            data=sections,
            hashes=self._hashes(final),
            packet=None
            if final.packet is None
            else replace(untouched_packet(t), parts=((t.true, final.packet, t.const(64, 0)),)),
            calls={name: count for name, count in final.calls.items() if name not in self.plan.ahead},
            maps=self.layout.specs,
            preconditions=tuple(self._preconditions(constants)),
            assumptions=assumed(
                Told(self.element, self.layout, self.body, self.plan, self.actions, self.used_float), constants
            ),
            observed=self._observed(),
            concedes_atomicity=self._conceded(statements),
            elsewhere=tuple(self._elsewhere()),
        )

    def _hashes(self, final: Env) -> dict[str, HashMap]:
        out = {self.layout.maps[name].name: contents for name, contents in final.maps.items() if contents.touched}
        return out if final.rpcs is None else {**out, final.rpcs.name: final.rpcs}

    def _initial(self, section: str) -> Initial:
        return lambda offset: self.t.app(f"map:{section}", 8, offset)

    def _load(self, sections: Mapping[str, Bytes], item: core.State) -> Term:
        section, offset = self.layout.scalars[item.name]
        raw = sections[section].load(self.t, self.t.const(64, offset), size_of(item.type))
        assert isinstance(raw, Term)
        return self.from_memory(item.type, raw)

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
        if self.layout.rpcs is not None:
            out.setdefault(self.layout.rpcs.name, [])
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
                value = self.to_memory(item.type, self.constant(constants[item.name]))
                out.append(t.eq(raw.width, raw, value))
            elif item.type == BOOL:
                out.append(t.ult(8, raw, t.const(8, 2)))
        return out

    # --- statements ---------------------------------------------------------------------------------------------------
    def _run(self, body: tuple[Stmt, ...], env: Env) -> Env | None:
        """Runs statements; None when every path has ended."""
        for statement in body:
            following = self._statement(statement, env)
            if following is None:
                return None
            env = following
        return env

    def _statement(self, statement: Stmt, env: Env) -> Env | None:
        t = self.t
        match statement:
            case core.SetLocal(name=name, value=value):
                env.locals[name] = (
                    self.word(value, env) if name in self.draw_locals else self._named(name, self.value(value, env))
                )
            case core.SetState(name=name, value=value):
                env.state[name] = self._named(name, self.value(value, env))
            case core.MapSet(map=name, key=key, value=value):
                where = self._key(key, env)
                kind = self.element.variable(name).type.args[1]
                raw = self.to_memory(kind, self.value(value, env))
                nothing = Bytes(lambda offset: t.const(8, 0))
                contents = stored(t, nothing, t.const(64, 0), size_of(kind), raw)
                self.generation += 1
                env.maps[name] = env.maps[name].insert(t.true, where, contents, t.const(32, self.generation))
            case core.MapDelete(map=name, key=key):
                env.maps[name] = env.maps[name].delete(t.true, self._key(key, env))
            case core.VecSet():
                self._set_item(statement, env)
            case core.SetField(name=name, value=value):
                self.set_field(name, self.value(value, env), env)
            case core.Evaluate(value=value):
                self.value(value, env)
            case core.Forward() | core.Abort():
                if isinstance(statement, core.Forward):
                    self.finish(env, self.actions.forward)
                else:
                    self.refuse(env)
                return None
            case core.Match():
                return self._match(statement, env)
        return env

    def _match(self, statement: core.Match, env: Env) -> Env | None:
        t, subject = self.t, statement.subject
        entry: Term | None = None
        if isinstance(subject, core.MapGet):
            key = self._key(subject.key, env)
            value = env.maps[subject.map].present(t, key)
            kind = self.element.variable(subject.map).type.args[1]
            entry = self.from_memory(kind, env.maps[subject.map].load(t, key, t.const(64, 0), size_of(kind)))
        elif isinstance(subject, core.VecGet):
            index = self.value(subject.index, env)
            value = t.ult(32, index, self.vec_size(subject.vec, env))
            section, at = self._vec_item(subject.vec, index)
            item = self.element.variable(subject.vec)
            raw = env.sections[section].load(t, at, size_of(item.type))
            assert isinstance(raw, Term)
            entry = self.from_memory(item.type.args[0], raw)
        else:
            value = self.value(subject, env)
        live: list[Env] = []
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

    def _key(self, expr: Expr, env: Env) -> Term:
        """A map key as it lies in memory."""
        return self.to_memory(expr.type, self.value(expr, env))

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
                wanted = self.constant(constant)
                return self.equal(value, wanted)
        assert_never(pattern)

    # --- merging ------------------------------------------------------------------------------------------------------
    def _merge(self, envs: list[Env]) -> Env:
        merged = envs[-1]
        for env in reversed(envs[:-1]):
            merged = self._choose(env, merged)
        return merged

    def _merge_finished(self) -> Env:
        return self._merge(self.finished)

    def _choose(self, a: Env, b: Env) -> Env:
        """`a` where its path was taken, else `b`."""
        t, condition = self.t, a.path
        zero = t.const(16, 0)
        verdict = None
        if a.verdict is not None and b.verdict is not None:
            verdict = t.ite(32, condition, a.verdict, b.verdict)
        return Env(
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
            self._chosen_rpcs(condition, a.rpcs, b.rpcs),
        )

    def _chosen_packet(self, condition: Term, a: Bytes | None, b: Bytes | None) -> Bytes | None:
        if a is b:
            return a
        came = self.packet
        return merge_bytes(branch(self.t, condition), a or came, b or came)

    def _chosen_rpcs(self, condition: Term, a: HashMap | None, b: HashMap | None) -> HashMap | None:
        if a is b or self.watch.rpc is None:
            return a
        return (a or self.watch.rpc.memory).merge(condition, b or self.watch.rpc.memory)

    def _named(self, variable: str, value: Term) -> Term:
        return self.define(value) if variable in self.named else value

    def _named_all(self, env: Env) -> Env:
        for values in (env.locals, env.state):
            values.update({name: self._named(name, value) for name, value in values.items()})
        return env

    def _vec_item(self, name: str, index: Term) -> tuple[str, Term]:
        """Where an item lies, for an index of 32 bits."""
        t, item = self.t, self.element.variable(name)
        section, offset = self.layout.scalars[name]
        distance = t.mul(64, t.zext(index, 32, 64), t.const(64, stride(item)))
        return section, t.add(64, t.const(64, offset + VEC_ITEMS), distance)

    def _set_item(self, statement: core.VecSet, env: Env) -> None:
        t, item = self.t, self.element.variable(statement.vec)
        size = self.vec_size(item.name, env)
        index = size if statement.index is None else self.value(statement.index, env)
        value = self.to_memory(item.type.args[0], self.value(statement.value, env))
        size = self.vec_size(item.name, env)
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
