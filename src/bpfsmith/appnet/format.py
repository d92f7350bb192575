"""A program printed back in the indentation dialect: one layout for everybody, with comments and single blank lines kept.

Literals, and the parentheses that a person wrote, stay as they are. A program in the brace dialect comes out in the other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bpfsmith.appnet import syntax
from bpfsmith.appnet.braces import has_braces
from bpfsmith.appnet.lexer import Comment
from bpfsmith.appnet.parse import lexer_of, parse
from bpfsmith.source import SourceText, Span

INDENT = "    "

_TIGHTNESS = {"or": 1, "and": 2, "not": 3, "compare": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6, "negate": 7, "atom": 8}


def formatted(source: SourceText) -> str:
    """The program in its layout; formatting that again changes nothing. Raises what `parse` raises."""
    program = parse(source)
    lexer = lexer_of(source)
    opened: list[tuple[int, int]] = []
    closes: dict[tuple[int, int], tuple[int, int]] = {}
    for lexeme in lexer.plain():
        if lexeme.kind == "_LPAR":
            opened.append((lexeme.line, lexeme.column))
        elif lexeme.kind == "_RPAR" and opened:
            closes[opened.pop()] = (lexeme.end_line, lexeme.end_column)
    printer = _Printer(source.text.split("\n"), has_braces(source.text), closes, list(lexer.comments))
    printer.program(program)
    return "\n".join(printer.lines) + "\n"


@dataclass(slots=True)
class _Printer:
    """Writes lines; `comments` are those not yet written, in order, and `at` the last line of the source that was."""

    source: list[str]
    braces: bool
    closes: dict[tuple[int, int], tuple[int, int]]
    comments: list[Comment]
    lines: list[str] = field(default_factory=list)
    at: int = 0
    depth: int = 0  # of the last line that is no comment
    opening: bool = True  # a block or the file has just begun: no blank line here

    # --- lines --------------------------------------------------------------------------------------------------------
    def put(self, depth: int, text: str, first: int, last: int) -> None:
        """A line of output for the source lines `first` to `last`, after the comments before it, with those beside it."""
        self.comments_before(first, depth)
        self._blank_before(first)
        self.lines.append(INDENT * depth + text)
        beside = []
        while self.comments and self.comments[0].line <= last:
            beside.append(self._remark(self.comments.pop(0)))
        if beside:
            self.lines[-1] += "  " + " ".join(beside)
        self.at, self.opening, self.depth = max(self.at, last), False, depth

    def comments_before(self, line: int, depth: int) -> None:
        while self.comments and self.comments[0].line < line:
            comment = self.comments.pop(0)
            if comment.line == self.at and not comment.alone and self.lines:
                self.lines[-1] += "  " + self._remark(comment)
                continue
            self._blank_before(comment.line)
            # Behind the last statement of a body and before the next section it belongs to what it is indented like.
            inside = depth or (self.depth if comment.column > 1 else 0)
            self.lines.append(INDENT * inside + self._remark(comment))
            self.at, self.opening = comment.line, False

    def _blank_before(self, line: int) -> None:
        between = self.source[self.at : line - 1]
        if not self.opening and any(not text.strip() for text in between):
            self.lines.append("")

    def _remark(self, comment: Comment) -> str:
        text = comment.text
        if text.startswith("//"):
            text = "#" + text[2:]
        return text if text[1:2] in ("", " ", "#", "!") else f"# {text[1:]}"

    # --- programs -----------------------------------------------------------------------------------------------------
    def program(self, program: syntax.Program) -> None:
        for section in (program.state, program.init, program.req, program.resp):
            if section is None:
                continue
            parameter = "" if section.kind == "state" else f"({section.parameter})"
            line = section.span.line
            self.put(0, f"{section.kind}{parameter}:", line, line)
            self.opening = True
            for declaration in section.declarations:
                for annotation in declaration.annotations:
                    self.put(1, _annotation(annotation), annotation.span.line, annotation.span.line)
                text = f"{declaration.name}: {_type(declaration.type)}"
                self.put(1, text, declaration.span.line, declaration.type.span.end_line)
            self.block(section.body, 1)
            if section.kind == "state" and not section.declarations:
                self.put(1, "pass", self.at, self.at)
            if section.kind != "state" and not section.body:
                self.put(1, "pass", self.at, self.at)
            self.opening = False
        self.comments_before(len(self.source) + 1, 0)

    def block(self, body: Sequence[syntax.Stmt], depth: int) -> None:
        self.opening = True
        for statement in body:
            self.statement(statement, depth)

    def statement(self, statement: syntax.Stmt, depth: int) -> None:
        span = statement.span
        if isinstance(statement, syntax.Match):
            self.match(statement, depth)
            return
        value = statement.value if isinstance(statement, syntax.ExprStmt | syntax.Assign) else None
        long = _block_lambda(value)
        if long is None or value is None:
            self.put(depth, self.simple(statement), span.line, span.end_line)
            return
        call, function = long
        before = f"{self.expr(statement.target)} = " if isinstance(statement, syntax.Assign) else ""
        arguments = [self.expr(item) for item in call.arguments[:-1]]
        head = ", ".join([*arguments, f"lambda({', '.join(function.parameters)}):"])
        self.put(depth, f"{before}{call.function.name}({head}", span.line, function.span.line)
        self.block(function.body, depth + 1)
        self.put(depth, ")", max(self.at, span.end_line), span.end_line)

    def simple(self, statement: syntax.Stmt) -> str:
        match statement:
            case syntax.Pass():
                return "pass"
            case syntax.Assign(target, value):
                return f"{self.expr(target)} = {self.expr(value)}"
            case syntax.ExprStmt(value):
                return self.expr(value)
            case syntax.Match():
                raise AssertionError("a match has lines of its own")

    def match(self, statement: syntax.Match, depth: int) -> None:
        subject = statement.subject
        text = self.expr(subject, bare=not isinstance(subject, syntax.Tuple))
        self.put(depth, f"match {text}:", statement.span.line, statement.span.end_line)
        self.opening = True
        for arm in statement.arms:
            for annotation in arm.annotations:
                self.put(depth + 1, _annotation(annotation), annotation.span.line, annotation.span.line)
            self.arm(arm, depth + 1)

    def arm(self, arm: syntax.Arm, depth: int) -> None:
        pattern, (first, *rest) = self.expr(arm.pattern), arm.body
        line = arm.span.end_line
        short = not rest and not isinstance(first, syntax.Match) and first.span.line == line and first.span.end_line == line
        if short and _block_lambda(getattr(first, "value", None)) is None:
            self.put(depth, f"{pattern} => {self.simple(first)}", arm.span.line, line)
            return
        self.put(depth, f"{pattern} =>", arm.span.line, line)
        self.block(arm.body, depth + 1)

    # --- expressions --------------------------------------------------------------------------------------------------
    def expr(self, node: syntax.Expr, around: int = 0, *, bare: bool = False) -> str:
        """The expression, in parentheses where the operator around it binds tighter than `around`, or where it had some."""
        text, tightness = self._plain(node)
        kept = self._had_parentheses(node) and not bare
        return f"({text})" if kept or tightness < around else text

    def _had_parentheses(self, node: syntax.Expr) -> bool:
        if isinstance(node, syntax.Tuple):
            return False
        span = node.span
        return self.closes.get((span.line, span.column)) == (span.end_line, span.end_column)

    def _plain(self, node: syntax.Expr) -> tuple[str, int]:
        match node:
            case syntax.Number(_, span) | syntax.Text(_, span) | syntax.Truth(_, span) | syntax.Name(_, span):
                return self._as_written(span), _TIGHTNESS["atom"]
            case syntax.Call(function, arguments):
                return f"{function.name}({', '.join(map(self.expr, arguments))})", _TIGHTNESS["atom"]
            case syntax.Tuple(items):
                return f"({', '.join(map(self.expr, items))})", _TIGHTNESS["atom"]
            case syntax.Unary(op, operand):
                own = _TIGHTNESS["negate" if op == "-" else "not"]
                return (f"-{self.expr(operand, own)}" if op == "-" else f"not {self.expr(operand, own)}"), own
            case syntax.Binary(op, left, right):
                own = _TIGHTNESS[op]
                return f"{self.expr(left, own)} {op} {self.expr(right, own + 1)}", own
            case syntax.Compare(op, left, right, chained):
                own = _TIGHTNESS["compare"]
                return f"{self.expr(left, own if chained else own + 1)} {op} {self.expr(right, own + 1)}", own
            case syntax.Lambda(parameters, body):
                return f"lambda({', '.join(parameters)}): {self.simple(body[0])}", 0

    def _as_written(self, span: Span) -> str:
        text = self.source[span.line - 1][span.column - 1 : span.end_column - 1]
        if span.line == span.end_line and not text.startswith("("):
            return text
        return " ".join(self._inside(span)).strip("() \t")

    def _inside(self, span: Span) -> Iterator[str]:
        for line in range(span.line, span.end_line + 1):
            text = self.source[line - 1]
            yield text[span.column - 1 if line == span.line else 0 : span.end_column - 1 if line == span.end_line else None]


def _block_lambda(value: syntax.Expr | None) -> tuple[syntax.Call, syntax.Lambda] | None:
    """A call whose last argument is a lambda that does not fit behind its colon."""
    if not isinstance(value, syntax.Call) or not value.arguments or not isinstance(value.arguments[-1], syntax.Lambda):
        return None
    function = value.arguments[-1]
    first = function.body[0]
    short = len(function.body) == 1 and not isinstance(first, syntax.Match) and first.span.line == function.span.line
    return None if short else (value, function)


def _annotation(annotation: syntax.Annotation) -> str:
    return f"@{annotation.name}({', '.join(annotation.arguments)})"


def _type(written: syntax.TypeName) -> str:
    args = ", ".join(map(_type, written.args))
    return f"<{args}>" if written.name == "Pair" else f"{written.name}<{args}>" if args else written.name
