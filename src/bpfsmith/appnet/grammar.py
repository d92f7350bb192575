"""The grammar of AppNet, in both of its dialects, and the tree it builds: the only module that imports lark.

Expressions are parsed flat (`operand operator operand ..`) and given their precedence while the tree is built: that keeps the
LALR table small, so that the parser is made in some 40 ms (and kept), and the depth of a text costs no stack.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from lark import Lark, Token, Tree, UnexpectedToken

from bpfsmith.appnet import syntax
from bpfsmith.appnet.lexer import Lexeme
from bpfsmith.kernel.cache import cache_directory
from bpfsmith.source import Span

GRAMMAR = """
start: section*
section: STATE _COLON state_body
       | handler _COLON section_body
handler: HANDLER _LPAR NAME? _RPAR
state_body: _NEWLINE | PASS _NEWLINE | _NEWLINE _INDENT _declarations _DEDENT
_declarations: _declaration | _declarations _declaration
_declaration: annotation | declaration | PASS _NEWLINE
declaration: NAME _COLON type _NEWLINE
annotation: _AT NAME arguments _NEWLINE?
type: NAME | NAME type_args | type_args
type_args: LESS _types GREATER
_types: type | _types _COMMA type
section_body: _suite | _NEWLINE
_suite: _line | _NEWLINE _INDENT _lines _DEDENT
_lines: _line | _lines _line
_line: PASS _NEWLINE | statement _NEWLINE | match
statement: expr | expr _ASSIGN expr
match: MATCH expr _COLON _NEWLINE _INDENT _arms _DEDENT
_arms: _arm | _arms _arm
_arm: arm | annotation
arm: expr _ARROW _suite
expr: _operation
_operation: _operand | _operation _operator _operand
_operator: OPERATOR | MINUS | LESS | GREATER
_operand: _atom | _prefixes _atom
_prefixes: _prefix | _prefixes _prefix
_prefix: NOT | MINUS
_atom: NAME | NUMBER | STRING | TRUE | FALSE | call | parens | lambda | method
call: NAME arguments
method: _atom _DOT NAME arguments
arguments: _LPAR _RPAR | _LPAR _expressions _RPAR
parens: _LPAR _expressions _RPAR
_expressions: expr | _expressions _COMMA expr
lambda: LAMBDA arguments _COLON _suite

%declare STATE HANDLER PASS MATCH LAMBDA NAME NUMBER STRING TRUE FALSE NOT OPERATOR MINUS LESS GREATER
%declare _DOT _COLON _LPAR _RPAR _COMMA _AT _ASSIGN _ARROW _NEWLINE _INDENT _DEDENT
"""

END = "$END"
"""The terminal behind the last lexeme."""

COMPARISON = 4
PRECEDENCE = {
    **dict.fromkeys(["or"], 1),
    **dict.fromkeys(["and"], 2),
    **dict.fromkeys(["not"], 3),
    **dict.fromkeys(["<", "<=", ">", ">=", "==", "!="], COMPARISON),
    **dict.fromkeys(["+", "-"], 5),
    **dict.fromkeys(["*", "/", "%"], 6),
    **dict.fromkeys(["negate", "!"], 7),
}
"""How tightly an operator binds."""


class Unexpected(Exception):
    """A lexeme that the grammar does not allow at its place; `accepted` are the terminals that it does allow."""

    def __init__(self, terminal: str, accepted: frozenset[str]) -> None:
        super().__init__(terminal)
        self.terminal = terminal
        self.accepted = accepted


class Misplaced(Exception):
    """Something that the grammar's rules let pass and that still stands where it has no meaning."""

    def __init__(self, message: str, span: Span) -> None:
        super().__init__(message)
        self.message = message
        self.span = span


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", lexer="basic", propagate_positions=True, cache=_kept())


def _kept() -> str | bool:
    """Where lark keeps the parser's tables, which take ten times as long to make as to read; nowhere where the cache is
    somebody else's: what is read is unpickled."""
    try:
        directory = cache_directory()
        return str(directory / "appnet.lark") if directory.stat().st_uid == os.geteuid() else False
    except OSError:
        return False


def parse_lexemes(path: str, lexemes: Iterable[Lexeme]) -> tuple[syntax.Section, ...]:
    """The sections of a file, in the order in which they stand there; raises Unexpected at the first wrong lexeme."""
    parser = _parser().parse_interactive()
    try:
        for kind, text, line, column, end_line, end_column in lexemes:
            parser.feed_token(Token(kind, text, None, line, column, end_line, end_column))
        tree = parser.feed_eof()
    except UnexpectedToken as error:
        raise Unexpected(error.token.type, frozenset(parser.accepts())) from None
    return _Builder(path).build(tree)


class _Builder:
    """Turns lark's tree into the syntax tree, leaves first and without recursion.

    Each rule of the grammar has a method of its name, which gets what the rule's parts became: nodes, tuples where a rule only
    groups, and tokens. What lark hands over is untyped, hence the `Any`s; the methods' results are not.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def build(self, tree: Tree[Token]) -> tuple[syntax.Section, ...]:
        built: dict[int, Any] = {}
        for subtree in tree.iter_subtrees():
            children = [built[id(child)] if isinstance(child, Tree) else child for child in subtree.children]
            built[id(subtree)] = getattr(self, f"_{subtree.data}")(children, self._span(subtree))
        return tuple(built[id(tree)])

    def _span(self, tree: Tree[Token]) -> Span:
        meta = tree.meta
        if meta.empty:
            return Span(self.path, 1)
        return Span(self.path, meta.line, meta.column, meta.end_line, meta.end_column)

    def _at(self, token: Token) -> Span:
        return Span(self.path, token.line or 1, token.column or 1, token.end_line or 1, token.end_column or 1)

    def _start(self, children: list[Any], span: Span) -> list[syntax.Section]:
        return children

    def _section(self, children: list[Any], span: Span) -> syntax.Section:
        head, body = children
        if isinstance(head, Token):
            return syntax.Section("state", "", body, (), self._at(head))
        (kind, parameter), place = head
        return syntax.Section(kind, parameter, (), body, place)

    def _handler(self, children: list[Any], span: Span) -> tuple[tuple[str, str], Span]:
        return (str(children[0]), str(children[1]) if len(children) == 2 else ""), span

    def _state_body(self, children: list[Any], span: Span) -> tuple[syntax.Declaration, ...]:
        declarations: list[syntax.Declaration] = []
        annotations: list[syntax.Annotation] = []
        for child in children:
            match child:
                case syntax.Annotation():
                    annotations.append(child)
                case syntax.Declaration():
                    declarations.append(replace(child, annotations=tuple(annotations)))
                    annotations.clear()
                case _:
                    continue  # `pass`
        self._none_left(annotations)
        return tuple(declarations)

    def _none_left(self, annotations: list[syntax.Annotation]) -> None:
        if annotations:
            raise Misplaced(f"found `@{annotations[0].name}` with nothing behind it", annotations[0].span)

    def _declaration(self, children: list[Any], span: Span) -> syntax.Declaration:
        name, type_name = children
        return syntax.Declaration(str(name), type_name, (), self._at(name))

    def _annotation(self, children: list[Any], span: Span) -> syntax.Annotation:
        name, arguments = children
        place = Span(self.path, span.line, span.column).to(self._at(name))
        return syntax.Annotation(str(name), tuple(_as_word(item) for item in arguments), place)

    def _type(self, children: list[Any], span: Span) -> syntax.TypeName:
        match children:
            case [Token() as name, tuple(args)]:
                return syntax.TypeName(str(name), args, span)
            case [Token() as name]:
                return syntax.TypeName(str(name), (), span)
            case _:
                return syntax.TypeName("Pair", children[0], span)

    def _type_args(self, children: list[Any], span: Span) -> tuple[syntax.TypeName, ...]:
        return tuple(children[1:-1])  # between `<` and `>`

    def _section_body(self, children: list[Any], span: Span) -> tuple[syntax.Stmt, ...]:
        return self._statements(children)

    def _statements(self, children: list[Any]) -> tuple[syntax.Stmt, ...]:
        return tuple(syntax.Pass(self._at(child)) if isinstance(child, Token) else child for child in children)

    def _statement(self, children: list[Any], span: Span) -> syntax.Stmt:
        if len(children) == 2:
            return syntax.Assign(children[0], children[1], span)
        return syntax.ExprStmt(children[0], span)

    def _match(self, children: list[Any], span: Span) -> syntax.Match:
        word, subject, *rest = children
        arms: list[syntax.Arm] = []
        annotations: list[syntax.Annotation] = []
        for child in rest:
            if isinstance(child, syntax.Annotation):
                annotations.append(child)
            else:
                arms.append(replace(child, annotations=tuple(annotations)))
                annotations.clear()
        self._none_left(annotations)
        return syntax.Match(subject, tuple(arms), self._at(word).to(subject.span))

    def _arm(self, children: list[Any], span: Span) -> syntax.Arm:
        pattern, *body = children
        return syntax.Arm(pattern, self._statements(body), (), pattern.span)

    def _call(self, children: list[Any], span: Span) -> syntax.Call:
        name, arguments = children
        return syntax.Call(syntax.Name(str(name), self._at(name)), arguments, span)

    def _method(self, children: list[Any], span: Span) -> syntax.Call:
        """`m.get(k)` of the brace dialect: `get(m, k)`."""
        receiver, name, arguments = children
        first = self._atom(receiver) if isinstance(receiver, Token) else receiver
        return syntax.Call(syntax.Name(str(name), self._at(name)), (first, *arguments), span)

    def _arguments(self, children: list[Any], span: Span) -> tuple[syntax.Expr, ...]:
        return tuple(children)

    def _parens(self, children: list[Any], span: Span) -> syntax.Expr:
        if len(children) > 1:
            return syntax.Tuple(tuple(children), span)
        inner: syntax.Expr = replace(children[0], span=span)
        return inner

    def _lambda(self, children: list[Any], span: Span) -> syntax.Lambda:
        _, parameters, *body = children
        return syntax.Lambda(tuple(map(_as_word, parameters)), self._statements(body), span)

    def _expr(self, children: list[Any], span: Span) -> syntax.Expr:
        row = _Row()
        for item in children:
            if not isinstance(item, Token):
                row.operand(item)
            elif item.type in ("OPERATOR", "MINUS", "LESS", "GREATER", "NOT"):
                row.operator(str(item), self._at(item))
            else:
                row.operand(self._atom(item))
        return row.finish()

    def _atom(self, token: Token) -> syntax.Expr:
        place, word = self._at(token), str(token)
        match token.type:
            case "NUMBER":
                return syntax.Number(number(word), place)
            case "STRING":
                return syntax.Text(unquote(word), place)
            case "TRUE" | "FALSE":
                return syntax.Truth(word == "true", place)
            case _:
                return syntax.Name(word, place)


@dataclass(slots=True)
class _Row:
    """A flat row of operands and operators that is given its precedence, with two stacks."""

    operands: list[syntax.Expr] = field(default_factory=list)
    pending: list[tuple[str, Span]] = field(default_factory=list)  # operators whose right operand is not complete
    expects_operand: bool = True
    comparison: syntax.Compare | None = None  # the one made last, which a further operator would make a chain

    def operand(self, operand: syntax.Expr) -> None:
        self.operands.append(operand)
        self.expects_operand = False

    def operator(self, word: str, place: Span) -> None:
        if self.expects_operand:
            self.pending.append(("negate" if word == "-" else word, place))
            return
        while self.pending and PRECEDENCE[self.pending[-1][0]] >= PRECEDENCE[word]:
            self._reduce()
        self.pending.append((word, place))
        self.expects_operand = True

    def finish(self) -> syntax.Expr:
        while self.pending:
            self._reduce()
        return self.operands[0]

    def _reduce(self) -> None:
        op, place = self.pending.pop()
        right = self.operands.pop()
        if op in ("not", "!", "negate"):
            self.operands.append(syntax.Unary("-" if op == "negate" else "not", right, place.to(right.span)))
            return
        left = self.operands.pop()
        span = left.span.to(right.span)
        if PRECEDENCE[op] != COMPARISON:
            self.operands.append(syntax.Binary(op, left, right, span))
            return
        self.comparison = syntax.Compare(op, left, right, left is self.comparison, span)
        self.operands.append(self.comparison)


def number(word: str) -> int | Fraction:
    """The exact value of a number as written; with a point or an exponent it is a Fraction, else an int."""
    if word[:2].lower() == "0x":
        return int(word, 16)
    return int(word) if word.isdigit() else Fraction(word)


_ESCAPES = {"n": "\n", "t": "\t"}


def unquote(literal: str) -> str:
    """The text between the quotes, with `\\n`, `\\t` and `\\` before any other character understood."""
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), literal[1:-1])


def _as_word(expression: syntax.Expr) -> str:
    """A parameter or an annotation's argument, as a word."""
    match expression:
        case syntax.Name(name):
            return name
        case syntax.Number(Fraction() as value):
            return f"{Decimal(value.numerator) / Decimal(value.denominator):f}"
        case syntax.Number(value) | syntax.Truth(value) | syntax.Text(value):
            return str(value).lower() if isinstance(value, bool) else str(value)
        case _:
            raise Misplaced("found an expression where a word must stand", expression.span)
