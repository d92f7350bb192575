"""Lexemes of AppNet text in the indentation dialect, with NEWLINE, INDENT and DEDENT made from the columns of lines.

Inside parentheses newlines mean nothing, except in the body of a lambda, which is a block of its own until the parenthesis
around it closes. Lexemes come one by one, so that the parser meets the first mistake of a file first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from bpfsmith.diagnostic import Diagnostic, InputError, Label
from bpfsmith.source import SourceText, Span

TAB_COLUMNS = 4
LONGEST_NUMBER = 60
"""Characters of a number: far beyond any range of the language, and short enough to convert at once."""


class Lexeme(NamedTuple):
    """`kind` is a terminal of the grammar; lines and columns count characters from 1, the end is one past the last."""

    kind: str
    text: str
    line: int
    column: int
    end_line: int
    end_column: int


SECTIONS = {"state": "STATE", "init": "HANDLER", "req": "HANDLER", "resp": "HANDLER"}
KEYWORDS = {
    "match": "MATCH",
    "lambda": "LAMBDA",
    "not": "NOT",
    "and": "OPERATOR",
    "or": "OPERATOR",
    "true": "TRUE",
    "false": "FALSE",
}
PUNCTUATION = {
    "(": "_LPAR",
    ")": "_RPAR",
    ",": "_COMMA",
    ":": "_COLON",
    "@": "_AT",
    "=": "_ASSIGN",
    "=>": "_ARROW",
    "-": "MINUS",
    "<": "LESS",
    ">": "GREATER",
    **dict.fromkeys(["+", "*", "/", "%", "==", "!=", "<=", ">="], "OPERATOR"),
}
_LEXEMES = r"""(?P<blank>[ \t]+|\r(?=\n|\Z))
      | (?P<comment>COMMENT)
      | (?P<newline>\n)
      | (?P<number>(?:0[xX][0-9A-Za-z_]*|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[0-9A-Za-z_]*))
      | (?P<name>[A-Za-z_]\w*)
      | (?P<string>'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*")
      | (?P<foreign>:=|&&|\|\||//|\+=|-=|\*=|/=|\+\+|--|->|\*\*|!(?!=)|[.;{}\[\]&|^~])
      | (?P<punctuation>=>|==|!=|<=|>=|[(),:@=\-+*/%<>])
    """


def pattern(comments: str) -> re.Pattern[str]:
    """The lexemes of a dialect, as named groups; `comments` matches one of its comments."""
    return re.compile(_LEXEMES.replace("COMMENT", comments), re.VERBOSE | re.ASCII)


_LEXEME = pattern(comments=r"\#[^\n]*")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?")
FOREIGN_HELP = {
    ":=": "assign with `=`",
    "&&": "write `and`",
    "||": "write `or`",
    "//": "begin a comment with `#`",
    "!": "write `not`",
    ".": "write `get(map, key)` and `set(map, key, value)`: there are no methods and no fields",
    ";": "end a statement with the end of its line",
    "{": "indent a block instead of bracing it",
    "}": "indent a block instead of bracing it",
    "[": "use `get(map, key)`: there is no indexing",
    "]": "use `get(map, key)`: there is no indexing",
    "->": "write `=>` between a pattern and its body",
    "+=": "write `x = x + ..`",
    "-=": "write `x = x - ..`",
    "*=": "write `x = x * ..`",
    "/=": "write `x = x / ..`",
    "++": "write `x = x + 1`",
    "--": "write `x = x - 1`; a double minus is `-(-x)`",
}


@dataclass(slots=True)
class _Block:
    """A run of lines whose indentation counts: the file, or a lambda's body. `parentheses` are those opened inside it."""

    columns: list[int]
    parentheses: list[Lexeme] = field(default_factory=list)
    lambdas: list[int] = field(default_factory=list)  # depths of `parentheses` at which a lambda waits for its colon


class Comment(NamedTuple):
    """A comment with its mark, and the line and column (from 1) of that; `alone` when nothing stands before it there."""

    text: str
    line: int
    column: int
    alone: bool


def new_block() -> _Block:
    """A block in which nothing is open yet."""
    return _Block([0])


class Lexer:
    """Turns one text into lexemes; `last` and `unclosed` tell, while a mistake is explained, what came just before it."""

    _lexeme = _LEXEME

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.comments: list[Comment] = []
        self.last: Lexeme | None = None
        self.before_last: Lexeme | None = None
        self._blocks = [_Block([0])]
        self._line_start = 0
        self._line_has_tab = False

    @property
    def unclosed(self) -> Lexeme | None:
        """The innermost parenthesis that is open at this point."""
        return next((block.parentheses[-1] for block in reversed(self._blocks) if block.parentheses), None)

    def lexemes(self) -> Iterator[Lexeme]:
        """All lexemes in order; raises InputError (`appnet-syntax`) at the first text that is none."""
        for lexeme in self._structured():
            self.before_last, self.last = self.last, lexeme
            yield lexeme

    def _structured(self) -> Iterator[Lexeme]:
        at_line_start, indent = True, 0
        for lexeme in self.plain():
            block = self._blocks[-1]
            if lexeme.kind == "newline":
                if not block.parentheses:
                    at_line_start = True
                    if self.last is not None and self.last.kind not in ("_NEWLINE", "_INDENT", "_DEDENT"):
                        yield lexeme._replace(kind="_NEWLINE")
                continue
            if at_line_start:
                closes_lambda = len(self._blocks) > 1 and lexeme.kind in ("_RPAR", "_COMMA")
                indent = self._columns_before(lexeme)
                if not closes_lambda:
                    yield from self._indentation(indent, lexeme)
                at_line_start = False
            yield from self._nested(lexeme, indent)
        yield from self._end()

    def _nested(self, lexeme: Lexeme, indent: int) -> Iterator[Lexeme]:
        """`lexeme` after what its nesting asks for: blocks of lambdas open behind their colon and close with their argument."""
        block = self._blocks[-1]
        if lexeme.kind in ("_RPAR", "_COMMA") and len(self._blocks) > 1 and not block.parentheses:
            yield from self._close_lambda(lexeme)
            block = self._blocks[-1]
        if lexeme.kind == "_LPAR":
            block.parentheses.append(lexeme)
        elif lexeme.kind == "_RPAR":
            self._close_parenthesis(lexeme)
        elif lexeme.kind == "LAMBDA":
            block.lambdas.append(len(block.parentheses))
        kind = self._kind(lexeme, indent)
        yield lexeme._replace(kind=kind) if kind != lexeme.kind else lexeme
        if kind == "_COLON" and block.lambdas and block.lambdas[-1] == len(block.parentheses) and block.parentheses:
            block.lambdas.pop()
            self._blocks.append(_Block([indent]))

    def _close_parenthesis(self, at: Lexeme) -> None:
        """InputError where none is open in this block."""
        if not self._blocks[-1].parentheses:
            raise InputError(self._mistake("found `)` that closes nothing", at, help="remove it, or add the `(` it closes"))
        self._blocks[-1].parentheses.pop()

    def _kind(self, lexeme: Lexeme, indent: int) -> str:
        """Names that are words of the language only at one place: sections in column 1, `pass` where a statement begins."""
        if lexeme.kind != "NAME":
            return lexeme.kind
        if lexeme.text in SECTIONS and indent == 0 and (self.last is None or self.last.kind in ("_NEWLINE", "_DEDENT")):
            return SECTIONS[lexeme.text]
        begins = self.last is not None and self.last.kind in ("_NEWLINE", "_INDENT", "_DEDENT", "_COLON", "_ARROW")
        return "PASS" if lexeme.text == "pass" and begins else lexeme.kind

    def _indentation(self, indent: int, at: Lexeme) -> Iterator[Lexeme]:
        columns = self._blocks[-1].columns
        if indent > columns[-1]:
            columns.append(indent)
            yield at._replace(kind="_INDENT", text="", end_line=at.line, end_column=at.column)
            return
        while indent < columns[-1]:
            columns.pop()
            if not columns:
                message = "found a line left of the lambda whose body is still open"
                raise InputError(self._mistake(message, at, help="close the parenthesis around the lambda"))
            if indent > columns[-1]:
                raise InputError(self._unbalanced(indent, columns, at))
            yield at._replace(kind="_DEDENT", text="", end_line=at.line, end_column=at.column)

    def _unbalanced(self, indent: int, columns: list[int], at: Lexeme) -> Diagnostic:
        start = at._replace(column=1, end_line=at.line, end_column=at.column)
        widths = ", ".join(map(str, columns))
        notes = [f"the blocks around it are indented by {widths} columns"]
        if self._line_has_tab:
            notes.append(f"a tab counts as {TAB_COLUMNS} columns")
        message = f"found a line indented by {indent} columns, which no block around it is"
        return self._mistake(message, start, help="indent it like one of the lines above", notes=tuple(notes))

    def _close_lambda(self, at: Lexeme) -> Iterator[Lexeme]:
        here = at._replace(text="", end_line=at.line, end_column=at.column)
        if self.last is not None and self.last.kind not in ("_NEWLINE", "_DEDENT"):
            yield here._replace(kind="_NEWLINE")
        for _ in self._blocks.pop().columns[1:]:
            yield here._replace(kind="_DEDENT")

    def _end(self) -> Iterator[Lexeme]:
        lines = self.source.text.split("\n")
        line, column = len(lines), len(lines[-1]) + 1
        end = Lexeme("_NEWLINE", "", line, column, line, column)
        if self.unclosed is not None:
            return  # the parser then meets the end of the file, and explains
        if self.last is not None and self.last.kind not in ("_NEWLINE", "_DEDENT"):
            yield end
        for _ in self._blocks[-1].columns[1:]:
            yield end._replace(kind="_DEDENT")

    def _columns_before(self, lexeme: Lexeme) -> int:
        line = self.source.text[self._line_start : self._line_start + lexeme.column - 1]
        self._line_has_tab = "\t" in line
        return sum(TAB_COLUMNS if character == "\t" else 1 for character in line)

    def plain(self) -> Iterator[Lexeme]:
        """Lexemes without structure; newlines have the kind "newline". Comments are put aside."""
        text, position, line = self.source.text, 0, 1
        while position < len(text):
            found = self._lexeme.match(text, position)
            column = position - self._line_start + 1
            if found is None:
                raise InputError(self._illegal(text[position], position, line, column))
            group, word = found.lastgroup or "", found.group()
            lexeme = Lexeme(group, word, line, column, line, column + len(word))
            position = found.end()
            match group:
                case "newline":
                    yield lexeme
                    line, self._line_start = line + 1, position
                case "name":
                    yield lexeme._replace(kind=KEYWORDS.get(word, "NAME"))
                case "number":
                    if not _NUMBER.fullmatch(word) or len(word) > LONGEST_NUMBER:
                        raise InputError(self._bad_number(lexeme))
                    yield lexeme._replace(kind="NUMBER")
                case "string":
                    yield lexeme._replace(kind="STRING")
                case "punctuation":
                    yield lexeme._replace(kind=PUNCTUATION[word])
                case "foreign":
                    yield lexeme._replace(kind="FOREIGN")
                case "comment":
                    alone = not text[self._line_start : found.start()].strip()
                    self.comments.append(Comment(word.rstrip(), line, column, alone))
                case _:
                    continue  # blanks

    def _bad_number(self, lexeme: Lexeme) -> Diagnostic:
        if len(lexeme.text) > LONGEST_NUMBER:
            return self._mistake(f"found a number of {len(lexeme.text)} characters", lexeme, help="write a shorter number")
        return self._mistake(
            f"found `{lexeme.text}`, which is no number", lexeme, help="numbers look like 10, 0x1f, 0.5 or 1e-3"
        )

    def _illegal(self, character: str, position: int, line: int, column: int) -> Diagnostic:
        if character in "'\"":
            end = self.source.text.find("\n", position)
            rest = self.source.text[position : end if end >= 0 else None].rstrip("\r")
            where = Lexeme("", rest, line, column, line, column + len(rest))
            return self._mistake("found a text that its line does not end", where, help=f"close it with {character}")
        where = Lexeme("", character, line, column, line, column + 1)
        if character.isprintable() and character.isascii():
            return self._mistake(f"found `{character}`, which AppNet does not use", where)
        name = unicodedata.name(character, "a control character").lower()
        message = f"found the character U+{ord(character):04X} ({name})"
        if character == "\0":
            return self._mistake(message, where, help="give a text file: this one holds binary data")
        return self._mistake(message, where, help="retype it with plain ASCII characters")

    def span(self, lexeme: Lexeme) -> Span:
        return Span(self.source.path, lexeme.line, lexeme.column, lexeme.end_line, lexeme.end_column)

    def _mistake(self, message: str, at: Lexeme, help: str = "", notes: tuple[str, ...] = ()) -> Diagnostic:
        return Diagnostic("appnet-syntax", message, Label(self.span(at)), help=help, notes=notes, source=self.source)
