"""A line of assembly cut into tokens. Used by `isa.asm`, `isa.asm_operands` and `isa.asm_ubpf`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bpfsmith.source import Span

# `#` starts a comment only where a word could start, since `call bpf_ktime_get_ns#5` has one inside.
_COMMENT = re.compile(r";.*|//.*|(?:^|(?<=\s))#.*")
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>0[xX][0-9a-fA-F]+|\d+)(?![\w.])
      | (?P<operator>s(?:>>=|/=|%=|>=|<=|>|<)|<<=|>>=|[=!<>]=|[-+*/%&|^]=|[-+*&^|<>=()\[\],:\#])
      | (?P<word>[A-Za-z_.$][\w.$]*)
      | (?P<other>\S)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is number, operator, word, other, or end for the end of the line (with empty text)."""

    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return f"`{self.text}`" if self.text else "the end of the line"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file; `text` is without its comment, `tokens` end with one of kind end."""

    path: str
    number: int
    text: str
    tokens: tuple[Token, ...]

    def span(self, first: Token, last: Token | None = None) -> Span:
        """The characters from `first` to the end of `last`, which is `first` itself unless given."""
        end = last or first
        return Span(self.path, self.number, first.column, self.number, end.column + len(end.text))


def read_line(path: str, number: int, text: str) -> Line:
    """Drop the comment and cut the rest into tokens; characters that no instruction has are tokens of kind other."""
    code = _COMMENT.sub("", text).rstrip()
    return Line(path, number, code, tokenize(code))


def tokenize(code: str) -> tuple[Token, ...]:
    """The tokens of `code`, columns counted from 1."""
    found = []
    for match in _TOKEN.finditer(code):
        kind = match.lastgroup
        assert kind is not None
        found.append(Token(kind, match[kind], match.start(kind) + 1))
    found.append(Token("end", "", len(code) + 1))
    return tuple(found)
