"""The bodies of `init`, `req` and `resp` checked: statements, the ways a message leaves, and the arms of a match."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bpfsmith.appnet import core, facts, syntax
from bpfsmith.appnet.expressions import Expressions
from bpfsmith.appnet.findings import Findings, did_you_mean
from bpfsmith.appnet.numeric import coerce, described, settled
from bpfsmith.appnet.scope import Flow, Lookup, Variable, join
from bpfsmith.diagnostic import Label
from bpfsmith.source import Span

_DIRECTIONS = {"up": "up", "down": "down", "pass": "pass", "drop": "drop", "net": "down", "app": "up"}
"""Directions as written, in any case; NET and APP are those of the brace dialect."""
_ONWARD = {"req": "Down", "resp": "Up"}


MOST_ROUNDS = 32
"""Items of a Vec that `foreach` walks over: each round is written out."""


@dataclass(slots=True)
class Body:
    """Checks one body, `kind` "init", "req" or "resp". `names` are those of the program: new locals keep clear of them."""

    expressions: Expressions
    names: set[str]
    kind: str = "req"
    roles: dict[str, tuple[core.Type, bool]] = field(default_factory=dict)
    """Names of locals given so far: their type, and whether patterns bind them (assignments then take another name)."""

    @property
    def findings(self) -> Findings:
        return self.expressions.findings

    @property
    def flow(self) -> Flow:
        return self.expressions.flow

    # --- statements ------------------------------------------------------------------------------------------------------
    def block(self, statements: Sequence[syntax.Stmt]) -> tuple[core.Stmt, ...]:
        """The statements in the core; those behind the end of a path are reported and left out."""
        done: list[core.Stmt] = []
        for statement in statements:
            if self.flow.ended is not None:
                others = (Label(self.flow.ended, "every path has ended here"),)
                message = "no path leads to this statement"
                help = "put it before the `send`, or remove it"
                self.findings.error("statement-after-send", message, statement.span, others=others, help=help)
                break
            done += self._statement(statement)
        return tuple(done)

    def _statement(self, statement: syntax.Stmt) -> list[core.Stmt]:
        match statement:
            case syntax.Pass():
                return []
            case syntax.Assign():
                return self._assign(statement)
            case syntax.ExprStmt(syntax.Call() as call):
                return self._call(call)
            case syntax.ExprStmt(value, span):
                return self._evaluate(value, span)
            case syntax.Match():
                return self._match(statement)

    def _call(self, call: syntax.Call) -> list[core.Stmt]:
        name = call.function.name
        if name == "send":
            return self._send(call)
        if name == "foreach":
            return self._foreach(call)
        if self._looks_up(call):
            found = self.expressions.lookup(call)
            return [] if found is None else [core.Evaluate(_key(found), call.span)]
        if name not in ("set", "delete", "append"):
            return self._evaluate(call, call.span)
        if self.expressions.refused_function(call) or not self.expressions.has_arity(call):
            return []
        if name == "set" and self.expressions.is_message(call.arguments[0]):
            return self._set_field(call)
        declared = self.expressions.container_named(call)
        if declared is None:
            for argument in call.arguments[1:]:
                self.expressions.check(argument)
            return []
        if declared.type.name == "Vec":
            return self._set_item(declared, call)
        key_type, value_type = declared.type.args
        key = self.expressions.value(call.arguments[1], key_type)
        value = self.expressions.value(call.arguments[2], value_type) if name == "set" else None
        self._map_changes(declared.name, call.span)
        if key is None or (name == "set" and value is None):
            return []
        if value is None:
            return [core.MapDelete(declared.name, key, call.span)]
        return [core.MapSet(declared.name, key, value, call.span)]

    def _foreach(self, call: syntax.Call) -> list[core.Stmt]:
        """`foreach(vec, lambda(x): body)`, written out: `match get(vec, 0): Some(x) => body`, and so on for every place."""
        match call.arguments:
            case (syntax.Name(name, place), syntax.Lambda((parameter,), body, span)):
                pass
            case _:
                help = "write `foreach(vec, lambda(x): ..)`"
                self.findings.error("wrong-arguments", "`foreach` takes a Vec and a lambda with one name", call.span, help=help)
                return []
        declared = self.expressions.state.get(name)
        if declared is None or declared.type.name != "Vec" or declared.max_entries > MOST_ROUNDS:
            return self._refuse_walk(name, place)
        done: list[core.Stmt] = []
        for index in range(declared.max_entries):
            lookup = syntax.Call(syntax.Name("get", place), (syntax.Name(name, place), syntax.Number(index, place)), place)
            some = syntax.Call(syntax.Name("Some", span), (syntax.Name(parameter, span),), span)
            arms = (syntax.Arm(some, body, (), span), syntax.Arm(syntax.Name("None", span), (), (), span))
            done += self._statement(syntax.Match(lookup, arms, call.span))
        if name in facts.written(done):
            help = "collect what shall change, and change it behind the `foreach`"
            self.findings.error("unsupported-foreach", f"`{name}` changes while it is walked over", call.span, help=help)
        return done

    def _refuse_walk(self, name: str, place: Span) -> list[core.Stmt]:
        if name not in self.expressions.state:
            help = did_you_mean(name, self.expressions.state)
            self.findings.error("unknown-name", f"there is no Vec `{name}`", place, help=help)
        elif (declared := self.expressions.state[name]) is not None:
            vec = declared.type.name == "Vec"
            message = f"`{name}` has room for {declared.max_entries} items" if vec else f"`{name}` is no Vec"
            notes = ("the verifier wants a bound for every loop, and the rounds are written out",) if vec else ()
            help = f"write `@size({MOST_ROUNDS})` or less before it" if vec else "keep running totals in the state instead"
            self.findings.error("unsupported-foreach", f"{message}: it is not walked over", place, notes=notes, help=help)
        return []

    def _looks_up(self, call: syntax.Call) -> bool:
        """Is it a `get` from a Map or a Vec, not from the message?"""
        first = call.arguments[0] if call.arguments else None
        return call.function.name == "get" and (first is None or not self.expressions.is_message(first))

    def _set_item(self, declared: core.State, call: syntax.Call) -> list[core.Stmt]:
        """`append(vec, value)` or `set(vec, index, value)`; at index `size(vec)` that appends too."""
        index: core.Expr | None = None
        written = call.arguments[1] if call.function.name == "set" else None
        match written:
            case None | syntax.Call(syntax.Name("size" | "len"), (syntax.Name(declared.name),)):
                pass
            case _:
                index = self.expressions.value(written, core.INT)
                if index is None:
                    return []
        value = self.expressions.value(call.arguments[-1], declared.type.args[0])
        self._map_changes(declared.name, call.span)
        return [] if value is None else [core.VecSet(declared.name, index, value, call.span)]

    def _set_field(self, call: syntax.Call) -> list[core.Stmt]:
        found = self.expressions.field_named(call)
        if found is None:
            return []
        assert self.expressions.binding is not None
        binding = self.expressions.binding
        if binding.packets is not None:
            notes = ("a packet that is sent again follows what was decided, and would go on unchanged",)
            message = f"`{found.name}` is rewritten, and RPCs take several packets"
            self.findings.error(
                "unsupported-payload", message, call.span, notes=notes, help="leave [packets] out of the binding"
            )
            return []
        if binding.envelope.version == 6 and not binding.envelope.slides:
            notes = ("UDP over IPv6 wants a checksum (RFC 8200, section 8.1), and a rewritten message goes on without one",)
            message = f"`{found.name}` is rewritten in UDP over IPv6"
            self.findings.error("unsupported-payload", message, call.span, notes=notes, help="bind the element to IPv4")
            return []
        fixed = binding.placed(binding.fields[self.kind]).fixed
        if found not in [item for item, _ in fixed]:
            notes = (
                "a value of another length would move what lies behind it"
                if not found.fixed
                else "the headers before it have options of any length"
                if binding.envelope.slides
                else "it stands behind a field of varying length",
            )
            message = f"`{found.name}` has no fixed place and size in the message, and is not rewritten"
            help = "declare the field as bytes(N) or as a number before those of varying length, if the protocol has it so"
            self.findings.error("unsupported-payload", message, call.span, notes=notes, help=help)
            return []
        value = self.expressions.value(call.arguments[2], found.type)
        return [] if value is None else [core.SetField(found.name, value, call.span)]

    def _evaluate(self, expression: syntax.Expr, span: Span) -> list[core.Stmt]:
        value = self.expressions.value(expression)
        if value is None:
            return []
        if not facts.has_effect(value):
            help = "assign with `=`" if isinstance(expression, syntax.Compare) and expression.op == "==" else "remove it"
            self.findings.warning("no-effect", "this computes a value that nothing uses", span, help=help)
        return [core.Evaluate(value, span)]

    def _map_changes(self, name: str, span: Span) -> None:
        stale = {key: span for key, item in self.expressions.variables.items() if item.lookup and item.lookup.map == name}
        self.flow.changed = {**stale, **self.flow.changed}

    # --- assignments -----------------------------------------------------------------------------------------------------
    def _assign(self, statement: syntax.Assign) -> list[core.Stmt]:
        target, span = statement.target, statement.span
        if isinstance(target, syntax.Tuple):
            return self._take_apart(target, statement)
        if (
            not isinstance(target, syntax.Name)
            or target.name in ("_", "None", "Some")
            or target.name == self.expressions.message
        ):
            self.findings.error("wrong-target", "this cannot be assigned to", target.span, help="assign to a variable")
            return []
        if target.name in self.expressions.state:
            return self._assign_state(target, statement)
        if isinstance(statement.value, syntax.Call) and self._looks_up(statement.value):
            return self._assign_option(target, statement.value, span)
        return self._assign_local(target, self.expressions.check(statement.value), span)

    def _assign_local(self, target: syntax.Name, value: core.Expr | None, span: Span) -> list[core.Stmt]:
        known = self.expressions.variables.get(target.name)
        if known is not None and known.lookup is not None:
            self._refuse_second_option(target, known)
            return []
        if known is not None and known.bound:
            others = (Label(known.span, "it is bound here"),)
            message = f"`{target.name}` is bound by a pattern, and is not assigned to"
            self.findings.error("wrong-target", message, target.span, others=others, help="assign to another variable")
            return []
        if known is not None and known.type is not None and value is not None:
            value = self._at_type_of(known, target, value)
        else:
            value = settled(value, self.findings)
        if known is None or known.type is None:
            if value is None:
                known = Variable(target.name, None, target.span)
            else:
                known = Variable(self._core_name(target.name, value.type), value.type, target.span)
            self.expressions.variables[target.name] = known
        self.flow.with_set(target.name)
        return [] if value is None else [core.SetLocal(known.core_name, value, span)]

    def _take_apart(self, target: syntax.Tuple, statement: syntax.Assign) -> list[core.Stmt]:
        """`(a, b) = pair`: the pair is computed once, then its parts are assigned."""
        value = self.expressions.value(statement.value)
        names = [item for item in target.items if isinstance(item, syntax.Name)]
        if len(names) < len(target.items):
            self.findings.error("wrong-target", "this cannot be assigned to", target.span, help="write `(a, b) = pair`")
            return []
        if value is None:
            for name in names:
                self._assign_local(name, None, statement.span)
            return []
        if value.type.name != "Pair" or len(value.type.args) != len(names):
            message = f"found {described(value.type)} where a pair of {len(names)} is needed"
            self.findings.error("type-mismatch", message, statement.value.span)
            return []
        whole = self._fresh_name("pair", value.type)
        done: list[core.Stmt] = [core.SetLocal(whole, value, statement.span)]
        for index, (name, kind) in enumerate(zip(names, value.type.args, strict=True)):
            part = core.Item(core.Local(whole, value.type, value.span), index, kind, name.span)
            declared = self.expressions.state.get(name.name)
            if name.name in self.expressions.state:
                fitted = coerce(part, declared.type, self.findings) if declared is not None else None
                done += [] if fitted is None else [core.SetState(name.name, fitted, statement.span)]
            elif name.name != "_":
                done += self._assign_local(name, part, statement.span)
        return done

    def _at_type_of(self, known: Variable, target: syntax.Name, value: core.Expr) -> core.Expr | None:
        assert known.type is not None
        if known.type in (core.INT, core.UINT) and value.type == core.FLOAT:
            others = (Label(known.span, f"its first value makes it {described(known.type)}"),)
            message = f"`{target.name}` is {described(known.type)}, and a float is assigned to it"
            help = "begin with a float, such as 0.0"
            self.findings.error("type-mismatch", message, value.span, others=others, help=help)
            return None
        return coerce(value, known.type, self.findings)

    def _assign_state(self, target: syntax.Name, statement: syntax.Assign) -> list[core.Stmt]:
        declared = self.expressions.state[target.name]
        if declared is None:
            self.expressions.check(statement.value)
            return []
        if declared.type.name in ("Map", "Vec"):
            kind = declared.type.name
            other = f"delete({target.name}, key)" if kind == "Map" else f"append({target.name}, value)"
            help = f"write `set({target.name}, {'key' if kind == 'Map' else 'index'}, value)` or `{other}`"
            message = f"`{target.name}` is a {kind}, which changes by {'entries' if kind == 'Map' else 'items'}"
            self.findings.error("wrong-target", message, target.span, help=help)
            return []
        value = self.expressions.value(statement.value, declared.type)
        return [] if value is None else [core.SetState(target.name, value, statement.span)]

    def _assign_option(self, target: syntax.Name, call: syntax.Call, span: Span) -> list[core.Stmt]:
        """`v = get(map, key)`: the key is kept, and the lookup happens where `v` is matched."""
        found = self.expressions.lookup(call)
        known = self.expressions.variables.get(target.name)
        if known is not None:
            self._refuse_second_option(target, known)
            return []
        if found is None:
            self.expressions.variables[target.name] = Variable(target.name, None, target.span)
            self.flow.with_set(target.name)
            return []
        kept: list[core.Stmt] = []
        key = _key(found)
        if not isinstance(key, core.Const):
            name = self._fresh_name(f"{target.name}_key", key.type)
            kept.append(core.SetLocal(name, key, span))
            key = core.Local(name, key.type, key.span)
        in_vec = isinstance(found, core.VecGet)
        lookup = Lookup(found.vec if isinstance(found, core.VecGet) else found.map, key, found.type, in_vec)
        self.expressions.variables[target.name] = Variable(target.name, found.type, target.span, lookup)
        self.flow.with_set(target.name)
        return kept

    def _refuse_second_option(self, target: syntax.Name, known: Variable) -> None:
        if known.type is None:
            return
        others = (Label(known.span, "the first value"),)
        message = f"`{target.name}` is assigned twice, and holds the Option that `get` gives"
        help = "match on `get(..)` directly, or take another name"
        self.findings.error("unsupported-option-value", message, target.span, others=others, help=help)

    def _core_name(self, name: str, kind: core.Type, *, bound: bool = False) -> str:
        """The name in the core of a local `name`, which it shares only with locals of the same type and role.

        Locals of one name live one after the other (`shadowed-name` sees to that), so that sharing is safe.
        """
        candidate, number = name, 1
        while self.roles.get(candidate, (kind, bound)) != (kind, bound) or (number > 1 and candidate in self.names):
            number += 1
            candidate = f"{name}_{number}"
        self.roles[candidate] = kind, bound
        return candidate

    def _fresh_name(self, name: str, kind: core.Type) -> str:
        """A name that nothing in the program has."""
        candidate, number = name, 1
        while candidate in self.names or candidate in self.roles:
            number += 1
            candidate = f"{name}_{number}"
        self.roles[candidate] = kind, False
        return candidate

    # --- send ------------------------------------------------------------------------------------------------------------
    def _send(self, call: syntax.Call) -> list[core.Stmt]:
        span = call.span
        message = self.expressions.message
        if not message:
            help = "send in `req(rpc):`"
            self.findings.error("send-direction", "`init` has no message that it could send", span, help=help)
            return []
        self.flow.ended = span
        if not self.expressions.has_arity(call):
            return []
        what, where = call.arguments
        direction = _DIRECTIONS.get(where.name.lower(), "") if isinstance(where, syntax.Name) else ""
        if not direction:
            help = "write Down, Pass, Up or Drop"
            self.findings.error("send-direction", "this is no direction", where.span, help=help)
            return []
        match what:
            case syntax.Name(name) if name == message:
                return self._forward(direction, message, where.span, span)
            case syntax.Call(syntax.Name("err")):
                return self._abort(what, direction, where.span, span)
            case _:
                help = f"write `send({message}, Pass)` or `send(err('..'), Drop)`"
                self.findings.error("wrong-arguments", "this cannot be sent", what.span, help=help)
                return []

    def _forward(self, direction: str, message: str, place: Span, span: Span) -> list[core.Stmt]:
        onward = _ONWARD[self.kind]
        if direction in (onward.lower(), "pass"):
            return [core.Forward(span)]
        what = "request" if self.kind == "req" else "response"
        refuse = ", or `send(err('..'), Drop)` to refuse it" if self.kind == "req" else ""
        help = f"write `send({message}, {onward})` to let it go on{refuse}"
        found = "nowhere" if direction == "drop" else "against its direction"
        self.findings.error("send-direction", f"a {what} is sent {found}", place, help=help)
        return []

    def _abort(self, err: syntax.Call, direction: str, place: Span, span: Span) -> list[core.Stmt]:
        if self.kind == "resp":
            help = f"write `send({self.expressions.message}, Up)`"
            self.findings.error("send-direction", "a response cannot become an error", err.span, help=help)
            return []
        match err.arguments:
            case (syntax.Text(text),) if direction in ("up", "drop"):
                return [core.Abort(text, span)]
            case (syntax.Text(),):
                help = "write `send(err('..'), Up)` or `send(err('..'), Drop)`"
                self.findings.error("send-direction", "an error goes back to the caller, not on", place, help=help)
            case _:
                help = "write `err('the reason')`"
                self.findings.error("wrong-arguments", "`err` takes one text in quotes", err.span, help=help)
        return []

    # --- match -----------------------------------------------------------------------------------------------------------
    def _match(self, statement: syntax.Match) -> list[core.Stmt]:
        subject = self._subject(statement.subject)
        before = self.flow
        arms: list[core.Arm] = []
        ways: list[tuple[Flow, Label]] = []
        covered = _Covered()
        for arm in statement.arms:
            self.expressions.flow = before.copy()
            likely = self._likelihood(arm)
            checked = self._arm(arm, subject, covered)
            if checked is not None:
                arms.append(replace(checked, likely=likely))
            ways.append((self.flow, Label(arm.span, "it is not set in this arm")))
        label = Label(statement.subject.span, "it is not set when no arm matches")
        if subject is None or len(arms) < len(statement.arms):
            # what a broken pattern matches is unknown: take the way that gives no further errors
            set_somewhere = before.known_set.union(*(flow.known_set for flow, _ in ways))
            ways = [(Flow(set_somewhere, before.unset_because, before.changed), label)]
        elif not covered.everything:
            ways.append((before.copy(), label))
        self.expressions.flow = join(ways)
        return [] if subject is None else [core.Match(subject, tuple(arms), statement.span)]

    def _likelihood(self, arm: syntax.Arm) -> bool | None:
        """`@likelihood(0.9)`: does the author expect this arm to be taken, when it is reached?"""
        likely: bool | None = None
        for annotation in arm.annotations:
            words = ", ".join(annotation.arguments)
            if annotation.name != "likelihood":
                message = f"the hint `@{annotation.name}` means nothing on an arm"
                self.findings.error("unsupported-hint", message, annotation.span, help="arms take `@likelihood(0.9)`")
            elif not re.fullmatch(r"0(\.\d+)?|1(\.0+)?", words):
                message = f"`@likelihood({words})` is no probability"
                self.findings.error("wrong-arguments", message, annotation.span, help="write a number from 0 to 1")
            else:
                likely = float(words) >= 0.5
        return likely

    def _subject(self, expression: syntax.Expr) -> core.Expr | None:
        if isinstance(expression, syntax.Call) and self._looks_up(expression):
            return self.expressions.lookup(expression)
        variable = self.expressions.variables.get(expression.name) if isinstance(expression, syntax.Name) else None
        if not isinstance(expression, syntax.Name) or variable is None or variable.lookup is None:
            return self.expressions.value(expression)
        if expression.name not in self.flow.known_set:
            self.expressions.check(expression)
            return None
        if expression.name in self.flow.changed:
            others = (Label(self.flow.changed[expression.name], f"the Map `{variable.lookup.map}` may change here"),)
            message = f"`{expression.name}` is matched after its Map may have changed"
            help = f"match on `{expression.name}` before that, or call `get` again and match on it"
            self.findings.error("unsupported-option-value", message, expression.span, others=others, help=help)
            return None
        made = core.VecGet if variable.lookup.in_vec else core.MapGet
        return made(variable.lookup.map, variable.lookup.key, variable.lookup.type, expression.span)

    def _arm(self, arm: syntax.Arm, subject: core.Expr | None, covered: _Covered) -> core.Arm | None:
        pattern = self._pattern(arm.pattern, subject)
        if pattern is not None:
            before = covered.add(pattern, subject.type if subject else None)
            if before:
                help = "remove the arm, or move it up"
                self.findings.error("unreachable-arm", f"this arm is never reached: {before}", arm.span, help=help)
        bound = self._bind(arm.pattern, pattern)
        saved = self.expressions.variables.get(bound) if bound else None
        if bound:
            kind = pattern.type if isinstance(pattern, core.Some) else None
            name = pattern.name if isinstance(pattern, core.Some) else bound
            self.expressions.variables[bound] = Variable(name, kind, arm.pattern.span, bound=True)
            self.flow.with_set(bound)
        body = self.block(arm.body)
        if bound:
            self.flow.without(bound, Label(arm.pattern.span, "it is bound in this arm only"))
            if saved is not None:
                self.expressions.variables[bound] = saved
            else:
                del self.expressions.variables[bound]
        return None if pattern is None else core.Arm(pattern, body, arm.span)

    def _bind(self, written: syntax.Expr, pattern: core.Pattern | None) -> str:
        """The name that a pattern binds, as written, or an empty string; also for a pattern with a mistake elsewhere."""
        match written:
            case syntax.Call(syntax.Name("Some"), (syntax.Name(name),)) if name != "_":
                return name if pattern is not None or name not in self.expressions.state else ""
            case _:
                return ""

    def _pattern(self, written: syntax.Expr, subject: core.Expr | None) -> core.Pattern | None:
        match written:
            case syntax.Name("_"):
                return core.Anything()
            case syntax.Name("None"):
                return core.Nothing() if self._fits_option(written, subject) else None
            case syntax.Call(syntax.Name("Some")):
                return self._some(written, subject)
            case syntax.Text() | syntax.Number() | syntax.Truth() | syntax.Unary("-", syntax.Number()):
                return self._constant(written, subject)
            case syntax.Name("True" | "False" as name):
                self.findings.error("pattern-mismatch", "this is no pattern", written.span, help=f"write `{name.lower()}`")
                return None
            case _:
                help = "write a constant, `Some(x)`, `None` or `_`; conditions go into the subject of the match"
                self.findings.error("pattern-mismatch", "this is no pattern", written.span, help=help)
                return None

    def _some(self, written: syntax.Call, subject: core.Expr | None) -> core.Pattern | None:
        if not self._fits_option(written, subject) or subject is None:
            return None
        match written.arguments:
            case (syntax.Name(name, span),):
                if not self._may_bind(name, span):
                    return None
                kind = subject.type.args[0]
                return core.Some("_" if name == "_" else self._core_name(name, kind, bound=True), kind)
            case _:
                help = "write `Some(x)`, and match on `x` inside the arm"
                self.findings.error("pattern-mismatch", "`Some` takes one name", written.span, help=help)
                return None

    def _may_bind(self, name: str, span: Span) -> bool:
        if name in self.expressions.state:
            what = "a state variable"
        elif name == self.expressions.message:
            what = "the message"
        elif name in self.flow.known_set:
            what = "a local that is set already"
        else:
            return True
        message = f"`Some({name})` would hide `{name}`, which is {what}"
        self.findings.error("shadowed-name", message, span, help="take another name")
        return False

    def _fits_option(self, written: syntax.Expr, subject: core.Expr | None) -> bool:
        if subject is None:
            return False
        if isinstance(subject, core.MapGet | core.VecGet):
            return True
        message = f"this pattern is for an Option, and the match is on {described(subject.type)}"
        self.findings.error("pattern-mismatch", message, written.span, help="write a constant or `_`")
        return False

    def _constant(self, written: syntax.Expr, subject: core.Expr | None) -> core.Pattern | None:
        value = self.expressions.check(written)
        if subject is None or value is None:
            return None
        if isinstance(subject, core.MapGet | core.VecGet):
            message = "this pattern is a constant, and the match is on an Option"
            self.findings.error("pattern-mismatch", message, written.span, help="write `Some(x)`, `None` or `_`")
            return None
        texts = [kind.name in ("string", "name") for kind in (subject.type, value.type)]
        unlike = (subject.type == core.BOOL) != (value.type == core.BOOL) or texts[0] != texts[1]
        if subject.type == core.INSTANT or subject.type.name == "Pair" or unlike:
            message = f"this pattern does not fit {described(subject.type)}"
            help = (
                "compare in the subject: `match x == 1:` with the arms `true` and `false`" if subject.type == core.BOOL else ""
            )
            self.findings.error("pattern-mismatch", message, written.span, help=help)
            return None
        constant = coerce(value, subject.type, self.findings)
        return core.Equals(constant) if isinstance(constant, core.Const) else None


def _key(lookup: core.Lookup) -> core.Expr:
    return lookup.index if isinstance(lookup, core.VecGet) else lookup.key


@dataclass(slots=True)
class _Covered:
    """The patterns of the arms above, to tell which arms are never reached and whether some arm always matches."""

    everything: bool = False
    seen: list[core.Pattern] = field(default_factory=list)

    def add(self, pattern: core.Pattern, subject: core.Type | None) -> str:
        """Notes a pattern; the result says why it never matches, or is empty."""
        if self.everything:
            return "the arms above match everything"
        if any(type(pattern) is type(other) and _same(pattern, other) for other in self.seen):
            return "an arm above has the same pattern"
        self.seen.append(pattern)
        kinds = {type(item) for item in self.seen}
        both_truths = subject == core.BOOL and sum(isinstance(item, core.Equals) for item in self.seen) == 2
        self.everything = core.Anything in kinds or {core.Some, core.Nothing} <= kinds or both_truths
        return ""


def _same(pattern: core.Pattern, other: core.Pattern) -> bool:
    """Whether two patterns of one kind match the same values: what they bind does not matter."""
    match pattern, other:
        case core.Equals(value), core.Equals(constant):
            return value.value == constant.value
        case _:
            return True
