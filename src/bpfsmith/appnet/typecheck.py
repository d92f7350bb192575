"""The type checker's front door: an AppNet program to `core.Element`, or all its mistakes at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import PurePath
from typing import NamedTuple

from bpfsmith.appnet import core, facts, syntax
from bpfsmith.appnet.binding import Binding
from bpfsmith.appnet.bodies import Body
from bpfsmith.appnet.declarations import declare
from bpfsmith.appnet.expressions import Expressions, constant
from bpfsmith.appnet.findings import Findings
from bpfsmith.appnet.parse import line_count, parse
from bpfsmith.diagnostic import Diagnostic
from bpfsmith.source import SourceText


class Checked(NamedTuple):
    """A program without mistakes, and what its author should still know."""

    element: core.Element
    warnings: tuple[Diagnostic, ...]


def type_check(source: SourceText, binding: Binding | None = None) -> Checked:
    """Parses and checks a program; `binding` says what fields its messages have.

    Raises InputError with the first syntax error or all type errors, in text order, and Unsupported where the program is
    right and uses what this release does not translate.
    """
    return check(parse(source), binding)


def check(program: syntax.Program, binding: Binding | None = None) -> Checked:
    """Checks a parsed program; raises as `type_check` does."""
    findings = Findings(program.source)
    state = declare(program.state, findings, frozenset(_walked(program)))
    names = set(state) | {node.name for node in _nodes(program) if isinstance(node, syntax.Name)}
    _refuse_hidden_state(program, state, findings)
    init = _check_body(program.init, Expressions(findings, state, {}), names)
    constants = _constants(program, init)
    req = _check_body(program.req, Expressions(findings, state, constants, program.req.parameter, "req", binding), names)
    resp: tuple[core.Stmt, ...] = ()
    if program.resp is not None:
        expressions = Expressions(findings, state, constants, program.resp.parameter, "resp", binding)
        resp = _check_body(program.resp, expressions, names)
        if all(isinstance(statement, core.Forward) for statement in resp):
            resp = ()
    findings.stop_on_errors()
    declared = tuple(item for item in state.values() if item is not None)
    path = program.source.path
    element = core.Element(PurePath(path).stem, path, declared, init, req, line_count(program.source), resp, binding)
    return Checked(element, tuple(findings.warnings))


def _walked(program: syntax.Program) -> Iterator[str]:
    """The names that a `foreach` walks over."""
    for node in _nodes(program):
        match node:
            case syntax.Call(syntax.Name("foreach"), (syntax.Name(name), *_)):
                yield name
            case _:
                pass


def _refuse_hidden_state(program: syntax.Program, state: Mapping[str, object], findings: Findings) -> None:
    for section in (program.req, program.resp):
        if section is not None and section.parameter in state:
            message = f"the message of `{section.kind}` has the name of a state variable"
            findings.error("duplicate-name", message, section.span, help=f"write `{section.kind}(rpc):`")


def _check_body(section: syntax.Section, expressions: Expressions, names: set[str]) -> tuple[core.Stmt, ...]:
    body = Body(expressions, set(names), section.kind).block(section.body)
    for comparison in _draw_equalities(body):
        expressions.findings.error(
            "draw-equality",
            "a draw is compared for equality",
            comparison.span,
            notes=("a draw is a real number: it equals any given value with probability 0",),
            help="compare it with `<` or `>=`",
        )
    return body


def _draw_equalities(body: tuple[core.Stmt, ...]) -> Iterator[core.Expr]:
    """The places where a draw is compared for equality."""
    known = facts.draw_locals(body)

    def is_draw(expression: core.Expr) -> bool:
        return isinstance(expression, core.Draw) or (isinstance(expression, core.Local) and expression.name in known)

    for expression in facts.expressions(body):
        match expression:
            case core.Binary("eq" | "ne", left, right) if is_draw(left) or is_draw(right):
                yield expression
            case _:
                pass
    for statement in facts.statements(body):
        match statement:
            case core.Match(subject, arms) if is_draw(subject) and any(isinstance(arm.pattern, core.Equals) for arm in arms):
                yield subject
            case _:
                pass


def _constants(program: syntax.Program, init: tuple[core.Stmt, ...]) -> Mapping[str, Fraction]:
    """State variables that `init` sets to a constant on every path and that no other statement of the program writes."""
    written = Counter(
        node.target.name for node in _nodes(program) if isinstance(node, syntax.Assign) and isinstance(node.target, syntax.Name)
    )
    values = {
        statement.name: constant(statement.value, {})
        for statement in init
        if isinstance(statement, core.SetState) and statement.value.type in (core.INT, core.UINT, core.FLOAT)
    }
    return {name: value for name, value in values.items() if value is not None and written[name] == 1}


def _nodes(program: syntax.Program) -> Iterator[syntax.Expr | syntax.Stmt | syntax.Arm]:
    """Every node of the bodies."""
    waiting: list[syntax.Expr | syntax.Stmt | syntax.Arm] = []
    for section in (program.init, program.req, program.resp):
        waiting.extend(section.body if section is not None else ())
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(syntax.children(node))
