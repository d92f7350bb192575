"""Lexemes of AppNet text in the older brace dialect, as those of the indentation dialect: one grammar reads both.

A `{` becomes the colon, newline and indentation that open a block, a `}` the dedent that closes it; `;`, a comma between arms
and the end of a line that can end a statement become newlines; `:=`, `&&`, `||` and `!` become `=`, `and`, `or` and `not`.
`m.get(k)` is left to the grammar, which reads it as `get(m, k)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfsmith.appnet.lexer import SECTIONS, Lexeme, Lexer, new_block, pattern
from bpfsmith.diagnostic import InputError

_LEXEME = pattern(comments=r"\#[^\n]*|//[^\n]*")
_HEADING = re.compile(
    r"^[ \t]*(?:(?:state|internal|init|req|resp)[ \t]*(?:\([^)\n]*\))?\s*(?:->\s*)?\{|fn[ \t]+\w+[ \t]*\()", re.MULTILINE
)

_LINE_ENDS = ("_NEWLINE", "_INDENT", "_DEDENT")
_CAN_END = ("NAME", "NUMBER", "STRING", "TRUE", "FALSE", "_RPAR", "GREATER")
_GOES_ON = ("OPERATOR", "MINUS", "LESS", "GREATER", "_ARROW", "_ASSIGN", "_COLON", "_COMMA", "_RPAR", "_DOT")
_SPELT = {":=": ("_ASSIGN", "="), "&&": ("OPERATOR", "and"), "||": ("OPERATOR", "or"), "!": ("NOT", "!"), ".": ("_DOT", ".")}


def has_braces(text: str) -> bool:
    """Is the program written in the brace dialect? Its sections tell."""
    return _HEADING.search(text) is not None


class BraceLexer(Lexer):
    """A `Lexer` for the brace dialect; indentation means nothing in it."""

    _lexeme = _LEXEME

    def _structured(self) -> Iterator[Lexeme]:
        waiting: Lexeme | None = None  # a line's end, which ends a statement if what comes next does not go on with it
        angles = 0
        for lexeme in map(self._spelt, self.plain()):
            if lexeme.kind == "newline":
                waiting = waiting or lexeme
                continue
            if waiting is not None:
                if self._ends_statement(lexeme, angles):
                    yield from self._line_end(waiting)
                waiting = None
            block = self._blocks[-1]
            if lexeme.text == "fn" and len(self._blocks) == 1:
                continue
            if lexeme.text == "->" and lexeme.kind == "FOREIGN":
                continue
            if lexeme.text == "{" and lexeme.kind == "FOREIGN":
                yield from self._open(lexeme)
            elif lexeme.text == "}" and lexeme.kind == "FOREIGN":
                yield from self._close(lexeme)
            elif lexeme.text == ";" and lexeme.kind == "FOREIGN":
                angles = 0
                yield from self._line_end(lexeme)
            elif lexeme.kind == "_COMMA" and not block.parentheses and not angles:
                yield from self._line_end(lexeme)
            else:
                if len(self._blocks) == 2 and not block.parentheses:
                    angles += (lexeme.kind == "LESS") - (lexeme.kind == "GREATER")
                yield self._in_place(lexeme)
        if len(self._blocks) == 1:
            yield from self._line_end(waiting)

    def _spelt(self, lexeme: Lexeme) -> Lexeme:
        kind, text = _SPELT.get(lexeme.text, (lexeme.kind, lexeme.text)) if lexeme.kind == "FOREIGN" else lexeme[:2]
        return lexeme._replace(kind=kind, text=text)

    def _in_place(self, lexeme: Lexeme) -> Lexeme:
        """The lexeme with what it means where it stands; parentheses are counted."""
        block = self._blocks[-1]
        if lexeme.kind == "LAMBDA":
            block.lambdas.append(len(block.parentheses))
        elif lexeme.kind in ("_ARROW", "_COLON") and block.lambdas:
            block.lambdas.pop()
            return lexeme._replace(kind="_COLON")
        elif lexeme.kind == "_LPAR":
            block.parentheses.append(lexeme)
        elif lexeme.kind == "_RPAR":
            self._close_parenthesis(lexeme)
        elif lexeme.kind == "NAME" and len(self._blocks) == 1:
            return lexeme._replace(kind=SECTIONS.get("state" if lexeme.text == "internal" else lexeme.text, "NAME"))
        elif lexeme.text == "pass" and lexeme.kind == "NAME" and self.last is not None and self.last.kind in _LINE_ENDS:
            return lexeme._replace(kind="PASS")
        return lexeme

    def _ends_statement(self, following: Lexeme, angles: int) -> bool:
        if self._blocks[-1].parentheses or angles > 0 or self.last is None or self.last.kind not in _CAN_END:
            return False
        return following.kind not in _GOES_ON and following.text not in "{;"

    def _line_end(self, at: Lexeme | None) -> Iterator[Lexeme]:
        if self.last is not None and self.last.kind not in _LINE_ENDS:
            here = at or self.last
            yield here._replace(kind="_NEWLINE", text="")

    def _open(self, at: Lexeme) -> Iterator[Lexeme]:
        empty = at._replace(text="", end_line=at.line, end_column=at.column)
        if self.last is not None and self.last.kind not in ("_ARROW", "_COLON"):
            self._blocks[-1].lambdas.clear()
            yield empty._replace(kind="_COLON")
        yield empty._replace(kind="_NEWLINE")
        yield empty._replace(kind="_INDENT")
        self._blocks.append(new_block())

    def _close(self, at: Lexeme) -> Iterator[Lexeme]:
        empty = at._replace(text="", end_line=at.line, end_column=at.column)
        if len(self._blocks) == 1:
            raise InputError(self._mistake("found `}` that closes nothing", at, help="remove it, or add the `{` it closes"))
        if self._blocks[-1].parentheses:
            yield at._replace(kind="FOREIGN")  # the parser explains
        if self.last is not None and self.last.kind == "_INDENT":
            yield empty._replace(kind="PASS", text="pass")
        yield from self._line_end(empty)
        yield empty._replace(kind="_DEDENT")
        self._blocks.pop()
