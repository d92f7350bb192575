"""A text as an editor sees it, saved or not: its diagnostics, its names with types and places, and what each line costs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import PurePath

from bpfsmith.appnet import core, syntax
from bpfsmith.appnet.discharge import discharged
from bpfsmith.appnet.format import formatted
from bpfsmith.appnet.parse import parse
from bpfsmith.appnet.typecheck import check
from bpfsmith.diagnostic import Diagnostic, Severity, ToolError
from bpfsmith.editor.words import APPNET_WORDS, PROBE_WORDS
from bpfsmith.source import SourceText, Span
from bpfsmith.trace.language import syntax as probes
from bpfsmith.trace.language.lower import lower
from bpfsmith.trace.language.parse import parse as parse_probes
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, binding_of

Costs = Mapping[int, float]
"""Predicted ns by line of the text: on the likely path of the program that the line is in."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name where it is first given: the text for a hover, and its scope ("" for the whole file)."""

    name: str
    span: Span
    text: str
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known of a text. `typed` are the expressions with a type, by their place; `costs` is asked when a hover is."""

    diagnostics: tuple[Diagnostic, ...]
    symbols: tuple[Symbol, ...] = ()
    scopes: tuple[tuple[int, str], ...] = ()  # first line and name of each scope, in order
    typed: tuple[tuple[Span, str], ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    costs: Callable[[], Costs] = dict


def analysed(path: str, text: str) -> Analysis:
    """A text by the ending of its name. Nothing is raised: what is wrong is among the diagnostics."""
    return _probes(path, text) if path.endswith(".probe") else _appnet(path, text)


# --- AppNet -----------------------------------------------------------------------------------------------------------
def _appnet(path: str, text: str) -> Analysis:
    try:
        program = parse(SourceText(path, text))
    except ToolError as error:
        return Analysis(error.diagnostics, words=APPNET_WORDS)
    symbols, scopes = tuple(_appnet_symbols(program)), tuple(_appnet_scopes(program))
    try:
        checked = check(program, binding_of(path, None))
        element = discharged(checked.element)
    except ToolError as error:
        return Analysis(error.diagnostics, symbols, scopes, words=APPNET_WORDS)
    typed = tuple(dict.fromkeys((span, str(kind)) for span, kind in _typed(element)))
    return Analysis(
        checked.warnings,
        symbols,
        scopes,
        typed,
        APPNET_WORDS,
        lambda: _appnet_costs(AppnetInput(path, element, checked.warnings)),
    )


def _appnet_scopes(program: syntax.Program) -> Iterator[tuple[int, str]]:
    for section in (program.state, program.init, program.req, program.resp):
        if section is not None:
            yield section.span.line, section.kind


def _appnet_symbols(program: syntax.Program) -> Iterator[Symbol]:
    state = set()
    for item in program.state.declarations:
        state.add(item.name)
        yield Symbol(item.name, item.span, f"state `{item.name}: {_type_text(item.type)}`")
    for section in filter(None, (program.init, program.req, program.resp)):
        seen = set(state)
        for node in _nodes(section):
            match node:
                case syntax.Assign(target=syntax.Name(name=name, span=span)) if name not in seen:
                    seen.add(name)
                    yield Symbol(name, span, f"local `{name}`", section.kind)
                case syntax.Lambda(parameters=parameters, span=span):
                    yield from (Symbol(name, span, f"parameter `{name}`", section.kind) for name in parameters)
                case syntax.Arm(span=span):
                    for name in re.findall(r"Some\((\w+)\)", program.source.line(span.line) or ""):
                        line = program.source.line(span.line) or ""
                        column = line.index(f"Some({name})") + 6
                        place = Span(span.path, span.line, column, span.line, column + len(name))
                        yield Symbol(name, place, f"value of the pattern `Some({name})`", section.kind)
                case _:
                    pass


def _nodes(section: syntax.Section) -> Iterator[syntax.Expr | syntax.Stmt | syntax.Arm]:
    waiting: list[syntax.Expr | syntax.Stmt | syntax.Arm] = list(reversed(section.body))
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(syntax.children(node))


def _type_text(kind: syntax.TypeName) -> str:
    return kind.name + (f"<{', '.join(map(_type_text, kind.args))}>" if kind.args else "")


def _typed(node: object) -> Iterator[tuple[Span, core.Type]]:
    """Every expression below a node of the core tree, with its type."""
    if isinstance(node, tuple):
        for item in node:
            yield from _typed(item)
    elif is_dataclass(node) and not isinstance(node, Span | core.Type | type):
        span, kind = getattr(node, "span", None), getattr(node, "type", None)
        if isinstance(span, Span) and isinstance(kind, core.Type):
            yield span, kind
        for item in fields(node):
            if item.name != "binding":
                yield from _typed(getattr(node, item.name))


def _appnet_costs(opened: AppnetInput) -> Costs:
    from bpfsmith.cost.model import Model, Usage
    from bpfsmith.cost.predict import by_line, predict
    from bpfsmith.cost.profile import load_profile
    from bpfsmith.workflow.compiling import lowered

    model = Model(load_profile(None), Usage(1, 0.0))
    name = PurePath(opened.path).name
    out: dict[int, float] = {}
    for program in lowered(opened, Toolchain()).programs:
        for item in by_line(program, predict(program, model).likely.cost):
            if PurePath(item.span.path).name == name:
                out[item.span.line] = out.get(item.span.line, 0.0) + item.ns
    return out


# --- probes -----------------------------------------------------------------------------------------------------------
def _probes(path: str, text: str) -> Analysis:
    try:
        file = parse_probes(text, path)
    except ToolError as error:
        return Analysis(error.diagnostics, words=PROBE_WORDS)
    symbols = tuple(symbol for probe in file.probes for symbol in _probe_symbols(probe, text))
    scopes = tuple((probe.span.line, _scope(probe)) for probe in file.probes)
    try:
        lower(file)
    except ToolError as error:
        return Analysis(error.diagnostics, symbols, scopes, words=PROBE_WORDS)
    return Analysis((), symbols, scopes, words=PROBE_WORDS, costs=lambda: _probe_costs(file))


def _scope(probe: probes.Probe) -> str:
    return f"{probe.target}:{probe.span.line}"


def _probe_symbols(probe: probes.Probe, text: str) -> Iterator[Symbol]:
    line = text.split("\n")[probe.span.line - 1]
    for name in probe.params:
        found = re.search(rf"\b{re.escape(name)}\b", line[line.find("(") :])
        if found:
            column = line.find("(") + found.start() + 1
            span = Span(probe.span.path, probe.span.line, column, probe.span.line, column + len(name))
            yield Symbol(name, span, f"argument `{name}` of {probe.target}, a signed 64-bit number", _scope(probe))
    bodies = (probe.entry, probe.on_return or ())
    for statement in (item for body in bodies for item in probes.all_statements(body)):
        if isinstance(statement, probes.Let):
            yield Symbol(
                statement.name,
                statement.span,
                f"`let {statement.name}`, kept for the way out if it is used there",
                _scope(probe),
            )


def _probe_costs(file: probes.ProbeFile) -> Costs:
    """What both halves of a probe take, at the probe's first line."""
    from bpfsmith.cost.model import Model, Usage
    from bpfsmith.cost.predict import predict
    from bpfsmith.cost.profile import load_profile
    from bpfsmith.objfile.object import read_object

    model = Model(load_profile(None), Usage(1, 0.0))
    made = read_object(Toolchain().compile_generated(lower(file).c_text, f"{PurePath(file.path).stem}.bpf.c"))
    out: dict[int, float] = {}
    for program in made.programs:
        number = re.match(r"probe(\d+)_", program.name)
        if number:
            line = file.probes[int(number[1])].span.line
            out[line] = out.get(line, 0.0) + predict(program, model).likely.cost.ns
    return out


# --- questions --------------------------------------------------------------------------------------------------------
_WORD = re.compile(r"[$@]?[A-Za-z_]\w*")


def word_at(text: str, line: int, column: int) -> Span | None:
    """The name at a place, lines and columns from 1; None where there is none. The span has no path."""
    lines = text.split("\n")
    if not 0 < line <= len(lines):
        return None
    for match in _WORD.finditer(lines[line - 1]):
        if match.start() < column <= match.end() + 1:
            return Span("", line, match.start() + 1, line, match.end() + 1)
    return None


def symbol_at(found: Analysis, text: str, line: int, column: int) -> Symbol | None:
    """Where the name at a place is given first: in its own scope, or in the file's."""
    word = word_at(text, line, column)
    if word is None:
        return None
    name = text.split("\n")[line - 1][word.column - 1 : word.end_column - 1]
    scope = next((name for first, name in reversed(found.scopes) if first <= line), "")
    own = [symbol for symbol in found.symbols if symbol.name == name and symbol.scope in ("", scope)]
    before = [symbol for symbol in own if (symbol.span.line, symbol.span.column) <= (line, column)]
    return before[-1] if before else own[0] if own else None


def hover_text(found: Analysis, text: str, line: int, column: int) -> str | None:
    """Markdown on the name at a place: what it is, its type, and what its line is predicted to cost."""
    word = word_at(text, line, column)
    if word is None:
        return None
    name = text.split("\n")[line - 1][word.column - 1 : word.end_column - 1]
    symbol = symbol_at(found, text, line, column)
    parts = [symbol.text] if symbol else [found.words[name]] if name in found.words else []
    kind = _type_at(found, line, word.column)
    if kind is not None and not (symbol and symbol.text.startswith("state")):
        parts.append(f"type `{kind}`")
    if not parts:
        return None
    try:
        cost = found.costs().get(line)
    except ToolError:  # what cannot be compiled is told by its diagnostic
        cost = None
    if cost is not None:
        parts.append(
            f"about {cost:.3g} ns for this {'probe, both halves' if found.words is PROBE_WORDS else 'line'}, predicted"
        )
    return "\n\n".join(parts)


def _type_at(found: Analysis, line: int, column: int) -> str | None:
    """The type of the smallest expression that starts at a name."""
    here = [(span.end_line, span.end_column, kind) for span, kind in found.typed if (span.line, span.column) == (line, column)]
    return min(here)[2] if here else None


def layout(path: str, text: str) -> str:
    """The text in its layout. Raises InputError for a text with syntax errors."""
    if path.endswith(".probe"):
        parse_probes(text, path)
        return indented(text)
    return formatted(SourceText(path, text))


def indented(text: str) -> str:
    """A probe file with four spaces for each open brace, no trailing blanks, and at most one empty line in a row."""
    out: list[str] = []
    depth = 0
    for raw in text.split("\n"):
        line = raw.strip()
        if not line:
            if out and out[-1]:
                out.append("")
            continue
        code = re.sub(r'"(?:[^"\\]|\\.)*"|//.*|#.*', "", line)
        closing = len(code) - len(code.lstrip("}"))
        out.append("    " * max(depth - closing, 0) + line)
        depth = max(depth + code.count("{") - code.count("}"), 0)
    return "\n".join(out).rstrip("\n") + "\n"


SEVERITIES = {Severity.ERROR: 1, Severity.WARNING: 2, Severity.NOTE: 3}
"""As the Language Server Protocol numbers them."""
