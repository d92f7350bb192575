"""AppNet text to its syntax tree: reading files, the order of sections, and the limits on size and nesting."""

from __future__ import annotations

from pathlib import Path

from bpfsmith.appnet import syntax
from bpfsmith.appnet.braces import BraceLexer, has_braces
from bpfsmith.appnet.lexer import SECTIONS, Lexer
from bpfsmith.appnet.syntax_errors import explain
from bpfsmith.diagnostic import Diagnostic, InputError, Label, Unsupported
from bpfsmith.source import SourceText, Span

LARGEST_TEXT = 64 * 1024
"""Characters of a program; published elements have some thousand."""

DEEPEST_NESTING = 100
"""Statements and operators around one another, so that nothing behind the parser needs to fear for its stack."""


def read_source(path: str | Path) -> SourceText:
    """The text of a file; raises InputError when it cannot be read or is no UTF-8 text."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise InputError(Diagnostic("unreadable-file", message, help="check the path and its permissions")) from None
    return decode(str(path), data)


def decode(path: str, data: bytes) -> SourceText:
    """Bytes as text: UTF-8 with or without a byte order mark; raises InputError (`appnet-syntax`) at the first other byte."""
    try:
        return SourceText(path, data.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", errors="replace").removeprefix("\ufeff")
        before = data[: error.start].decode("utf-8").removeprefix("\ufeff")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        place = Label(Span(path, line, column, line, column + 1))
        message = f"found the byte 0x{data[error.start]:02x}, which is no UTF-8 text"
        source = SourceText(path, text)
        hint = "give a text file in UTF-8"
        raise InputError(Diagnostic("appnet-syntax", message, place, help=hint, source=source)) from None


def parse(source: SourceText) -> syntax.Program:
    """The syntax tree of a program, in the indentation dialect or in that of braces.

    Raises InputError with the first syntax error (`appnet-syntax`, `appnet-sections`) and Unsupported for texts that are too
    large or too deeply nested (`unsupported-size`, `unsupported-nesting`).
    """
    # lark costs a tenth of a second to import, which only those who parse should pay
    from bpfsmith.appnet.grammar import Misplaced, Unexpected, parse_lexemes

    source = SourceText(source.path, source.text.removeprefix("\ufeff"))
    _refuse_large(source)
    lexer = lexer_of(source)
    try:
        sections = parse_lexemes(source.path, lexer.lexemes())
    except Unexpected as error:
        raise InputError(explain(lexer, error.terminal, error.accepted)) from None
    except Misplaced as error:
        raise InputError(Diagnostic("appnet-syntax", error.message, Label(error.span), source=source)) from None
    program = _in_order(source, sections)
    _refuse_deep(program)
    return program


def lexer_of(source: SourceText) -> Lexer:
    """The lexer for the dialect that a text is written in."""
    return BraceLexer(source) if has_braces(source.text) else Lexer(source)


def line_count(source: SourceText) -> int:
    """Lines that are neither blank nor comment."""
    lines = (line.strip() for line in source.text.split("\n"))
    return sum(1 for line in lines if line and not line.startswith(("#", "//")))


def _refuse_large(source: SourceText) -> None:
    if len(source.text) > LARGEST_TEXT:
        # without a label: the renderer would show a line, and a line may be the whole text
        message = f"`{source.path}` has {len(source.text):,} characters, and at most {LARGEST_TEXT:,} are read"
        raise Unsupported(Diagnostic("unsupported-size", message, help="split the element into several"))


def _in_order(source: SourceText, sections: tuple[syntax.Section, ...]) -> syntax.Program:
    """Every section once and in the order state, init, req, resp."""
    order = list(SECTIONS)
    seen: dict[str, syntax.Section] = {}

    def refuse(message: str, span: Span, *, others: tuple[Label, ...] = (), help: str) -> InputError:
        return InputError(Diagnostic("appnet-sections", message, Label(span), others=others, help=help, source=source))

    for section in sections:
        kind = section.kind
        if kind in seen:
            first = Label(seen[kind].span, "the first one")
            raise refuse(f"the section `{kind}` is there twice", section.span, others=(first,), help="join the two")
        later = [other for other in seen if order.index(other) > order.index(kind)]
        if later:
            place = Label(seen[later[0]].span, "it must stand before this")
            raise refuse(
                f"the section `{kind}` stands behind `{later[0]}`",
                section.span,
                others=(place,),
                help="write the sections in the order state, init, req, resp",
            )
        if kind in ("req", "resp") and not section.parameter:
            raise refuse(f"`{kind}` has no parameter", section.span, help=f"write `{kind}(rpc):`")
        if kind == "init" and section.parameter:
            raise refuse("`init` has a parameter", section.span, help="write `init():`")
        seen[kind] = section
    for kind in ("state", "init", "req"):
        if kind not in seen:
            heading = {"state": "state:", "init": "init():", "req": "req(rpc):"}[kind]
            last = sections[-1].span if sections else Span(source.path, 1)
            nothing = "the program is empty" if not sections else f"the section `{kind}` is missing"
            raise refuse(nothing, last, help=f"add `{heading}`, with `pass` as its body where there is nothing to do")
    return syntax.Program(source, seen["state"], seen["init"], seen["req"], seen.get("resp"))


def _refuse_deep(program: syntax.Program) -> None:
    handlers = (program.init, program.req, *((program.resp,) if program.resp else ()))
    waiting: list[tuple[syntax.Expr | syntax.Stmt | syntax.Arm | syntax.TypeName, int]]
    waiting = [(statement, 1) for handler in handlers for statement in handler.body]
    waiting += [(declaration.type, 1) for declaration in program.state.declarations]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEEPEST_NESTING:
            message = f"this is nested more than {DEEPEST_NESTING} levels deep"
            hint = "compute parts into local variables first, or split the match"
            raise Unsupported(Diagnostic("unsupported-nesting", message, Label(node.span), help=hint, source=program.source))
        parts = node.args if isinstance(node, syntax.TypeName) else syntax.children(node)
        waiting.extend((part, depth + 1) for part in parts)
