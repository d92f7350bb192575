"""Text to syntax: a lexer by one regular expression, a parser by recursive descent and operator precedence."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bpfsmith.diagnostic import Diagnostic, InputError, Label
from bpfsmith.source import SourceText, Span
from bpfsmith.trace.language.syntax import (
    CASTS,
    Aggregate,
    Binary,
    Call,
    Emit,
    Expr,
    Field,
    Filter,
    If,
    Kind,
    Let,
    Name,
    Number,
    OnEvent,
    OnReturn,
    Probe,
    ProbeFile,
    ProbeKind,
    Statement,
    Text,
    Unary,
)

_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*|\#[^\n]*|/\*.*?\*/)"
    r"|(?P<number>0[xX][0-9a-fA-F]+|\d+)"
    r'|(?P<text>"(?:[^"\\\n]|\\.)*")'
    r"|(?P<name>[$@]?[A-Za-z_]\w*)"
    r"|(?P<mark>->|\.\.|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>=(){},;:?.])",
    re.DOTALL,
)
_TARGET = re.compile(r"[^\s(){};]+")
_LEVELS = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", "<=", ">", ">="), ("<<", ">>"), ("+", "-"), ("*", "/", "%"),
)  # fmt: skip
_SAME = {"retval": "ret"}
"""Names of bpftrace's that mean the same."""
_MAX_DEPTH = 64
_WORDS = frozenset({"probe", "filter", "let", "on", "if", "else", "emit", "by", "in", "step", *(str(kind) for kind in Kind)})


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    span: Span
    end: int


def parse(text: str, path: str) -> ProbeFile:
    """The probes of a file. InputError `probe-syntax` at the first place that is none."""
    parser = _Parser(text, path)
    probes = []
    while parser.peek().kind != "end":
        probes.append(parser.probe())
    if not probes:
        raise parser.error(parser.peek(), "there is no probe in the file", "write `probe uprobe:./server:handle { count; }`")
    return ProbeFile(path, tuple(probes), text)


class _Parser:
    def __init__(self, text: str, path: str) -> None:
        self.text, self.path, self.at, self.depth = text, path, 0, 0
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._next: _Token | None = None

    # --- tokens -------------------------------------------------------------------------------------------------------
    def _span(self, start: int, end: int) -> Span:
        line = max(index for index, begin in enumerate(self._lines) if begin <= start)
        column = start - self._lines[line] + 1
        return Span(self.path, line + 1, column, line + 1, column + max(end - start, 1))

    def peek(self) -> _Token:
        if self._next is None:
            self._next = self._lexed()
        return self._next

    def _lexed(self) -> _Token:
        while self.at < len(self.text):
            match = _TOKEN.match(self.text, self.at)
            if match is None:
                span = self._span(self.at, self.at + 1)
                raise self.error(
                    _Token("bad", self.text[self.at], span, self.at), f"`{self.text[self.at]}` means nothing here", ""
                )
            start, self.at = match.start(), match.end()
            if match.lastgroup != "space":
                return _Token(match.lastgroup or "", match.group(), self._span(start, self.at), self.at)
        return _Token("end", "the end of the file", self._span(len(self.text), len(self.text)), self.at)

    def take(self) -> _Token:
        token = self.peek()
        self._next = None
        return token

    def has(self, text: str) -> bool:
        """Takes the token if it is this one."""
        if self.peek().text == text and self.peek().kind in ("name", "mark"):
            self.take()
            return True
        return False

    def want(self, text: str, help_text: str = "") -> _Token:
        token = self.peek()
        if token.text != text or token.kind not in ("name", "mark"):
            raise self.error(token, f"`{text}` was expected, and here is {_shown(token)}", help_text)
        return self.take()

    def name(self, what: str, *, of_field: bool = False) -> _Token:
        token = self.peek()
        if token.kind != "name" or (token.text in _WORDS and not of_field) or token.text[0] in "$@":
            raise self.error(token, f"{what} was expected, and here is {_shown(token)}", "")
        return self.take()

    def number(self) -> int:
        token = self.peek()
        if token.kind != "number":
            raise self.error(token, f"a number was expected, and here is {_shown(token)}", "")
        return int(self.take().text, 0)

    def error(self, token: _Token, message: str, help_text: str) -> InputError:
        return InputError(
            Diagnostic(
                "probe-syntax", message, Label(token.span), help=help_text or "see `bpfsmith explain probe-syntax`",
                source=SourceText(self.path, self.text),
            )
        )  # fmt: skip

    # --- probes -------------------------------------------------------------------------------------------------------
    def probe(self) -> Probe:
        start = self.want("probe", "a file is a list of `probe KIND:TARGET { .. }`")
        place = self._place(start)
        body = self.block()
        outs = [item for item in body if isinstance(item, OnReturn | OnEvent)]
        if len(outs) > 1:
            token = _Token("bad", "on", outs[1].span, self.at)
            what = "`on return`" if isinstance(outs[1], OnReturn) else "way out"
            raise self.error(token, f"a probe has one {what}", "put both into one block")
        return replace(place, body=body)

    def _place(self, start: _Token) -> Probe:
        """`KIND:TARGET(arguments)`, without statements."""
        while (match := re.compile(r"\s").match(self.text, self.at)) is not None:
            self.at = match.end()
        found = _TARGET.match(self.text, self.at)
        span = self._span(self.at, found.end() if found else self.at + 1)
        text = found.group() if found else ""
        kind, colon, rest = text.partition(":")
        if kind not in list(ProbeKind) or not colon or not rest:
            kinds = ", ".join(ProbeKind)
            token = _Token("bad", text, span, self.at)
            raise self.error(token, f"`{text}` names no place to probe", f"write KIND:TARGET, where KIND is one of {kinds}")
        assert found is not None
        self.at = found.end()
        path, _, target = rest.rpartition(":") if kind in ("uprobe", "tracepoint") else ("", "", rest)
        params: list[str] = []
        if self.has("("):
            while not self.has(")"):
                params.append(self.name("the name of an argument").text)
                if not self.has(","):
                    self.want(")")
                    break
        return Probe(start.span.to(span), ProbeKind(kind), path, target, tuple(params), ())

    def block(self) -> tuple[Statement, ...]:
        self.want("{")
        out: list[Statement] = []
        while not self.has("}"):
            if self.has(";"):
                continue
            out.append(self.statement())
        return tuple(out)

    def statement(self) -> Statement:
        token = self.peek()
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(token, "blocks are nested too deep", "split the probe")
        try:
            match token.text if token.kind == "name" else "":
                case "filter":
                    self.take()
                    return self._ended(Filter(token.span, self.expression()))
                case "let":
                    self.take()
                    name = self.name("a name")
                    self.want("=")
                    return self._ended(Let(name.span, name.text, self.expression()))
                case "on":
                    self.take()
                    return self._on(token)
                case "if":
                    return self._if()
                case "emit":
                    return self._ended(self._emit())
                case text if text in list(Kind):
                    return self._ended(self._aggregate())
                case _:
                    known = f"filter, let, if, emit, on, {', '.join(Kind)}"
                    raise self.error(token, f"a statement was expected, and here is {_shown(token)}", f"statements are {known}")
        finally:
            self.depth -= 1

    def _on(self, token: _Token) -> OnReturn | OnEvent:
        """What follows `on`. A place is read as text, so that only the word `return` may be looked at before it."""
        if re.compile(r"\s*return\b(?!:)").match(self.text, self.at):
            self.take()
            return OnReturn(token.span, self.block())
        place = self._place(token)
        self.want("by", "`on tp_btf:EVENT(request) by request { .. }` says whose event it is")
        key = self.expression()
        entry_key = self.expression() if self.has("=") else key
        return OnEvent(token.span, replace(place, body=self.block()), key, entry_key)

    def _ended(self, statement: Statement) -> Statement:
        if self.peek().text != "}":
            self.want(";", "statements end with `;`")
        return statement

    def _if(self) -> If:
        token = self.take()
        self.want("(")
        condition = self.expression()
        self.want(")")
        then = self.block()
        other: tuple[Statement, ...] = ()
        if self.has("else"):
            other = (self._if(),) if self.peek().text == "if" else self.block()
        return If(token.span, condition, then, other)

    def _emit(self) -> Emit:
        token = self.take()
        name = self.name("a name for the record")
        fields = []
        self.want("(")
        while not self.has(")"):
            label = self.name("the label of a value")
            self.want("=", "values are labelled: `emit slow(us = took)`")
            fields.append((label.text, self.expression()))
            if not self.has(","):
                self.want(")")
                break
        return Emit(token.span.to(name.span), name.text, tuple(fields))

    def _aggregate(self) -> Aggregate:
        token = self.take()
        kind = Kind(token.text)
        name, value, low, high, step = str(kind), None, 0, 0, 0
        if self.peek().text not in ("by", ";", "}"):
            name = self.name("a name").text
        if kind is not Kind.COUNT:
            self.want("=", f"`{kind} NAME = VALUE` says what is kept")
            value = self.expression()
        if kind is Kind.LHIST:
            self.want("in", "`lhist NAME = VALUE in 0..100 step 10` says where its slots are")
            low = self.number()
            self.want("..")
            high = self.number()
            self.want("step")
            step = self.number()
            if not (step and low < high and (high - low) % step == 0 and (high - low) // step <= 1000):
                raise self.error(token, f"{low}..{high} does not fall into slots of {step}", "up to 1000 slots of one width")
        keys: list[Expr] = []
        if self.has("by"):
            keys.append(self.expression())
            while self.has(","):
                keys.append(self.expression())
        return Aggregate(token.span, kind, name, value, tuple(keys), low, high, step)

    # --- expressions --------------------------------------------------------------------------------------------------
    def expression(self, level: int = 0) -> Expr:
        if level == len(_LEVELS):
            return self._unary()
        left = self.expression(level + 1)
        while self.peek().kind == "mark" and self.peek().text in _LEVELS[level]:
            operator = self.take()
            right = self.expression(level + 1)
            left = Binary(left.span.to(right.span), operator.text, left, right)
        return left

    def _unary(self) -> Expr:
        token = self.peek()
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(token, "the expression is nested too deep", "give parts of it names with `let`")
        try:
            if token.kind == "mark" and token.text in ("-", "!", "~"):
                self.take()
                return Unary(token.span, token.text, self._unary())
            value = self._primary()
            while self.has("->") or self.has("."):
                name = self.name("the name of a field", of_field=True)
                span = value.span.to(name.span)
                of_hook = isinstance(value, Name) and value.name == "args"  # bpftrace's words for what a hook is given
                value = Name(span, name.text) if of_hook else Field(span, value, name.text)
            return value
        finally:
            self.depth -= 1

    def _primary(self) -> Expr:
        token = self.take()
        match token.kind:
            case "number":
                return Number(token.span, int(token.text, 0))
            case "text":
                return Text(token.span, bytes(token.text[1:-1], "utf-8").decode("unicode_escape"))
            case "name" if token.text not in _WORDS:
                return self._name(token)
            case "mark" if token.text == "(":
                if self.peek().text in CASTS and re.compile(r"\s*\)").match(self.text, self.peek().end):
                    cast = self.take()
                    self.want(")")
                    return Call(cast.span, cast.text, (self._unary(),))
                value = self.expression()
                self.want(")")
                return value
            case _:
                raise self.error(token, f"a value was expected, and here is {_shown(token)}", "")

    def _name(self, token: _Token) -> Expr:
        if not self.has("("):
            if token.text == "nsecs":
                return Call(token.span, "now", ())
            return Name(token.span, _SAME.get(token.text, token.text))
        args: list[Expr] = []
        while not self.has(")"):
            args.append(self.expression())
            if not self.has(","):
                self.want(")")
                break
        return Call(token.span, token.text, tuple(args))


def _shown(token: _Token) -> str:
    return token.text if token.kind == "end" else f"`{token.text}`"
