"""C text as it is written: lines with indentation, `#line` back to the user's program, and how names and numbers are spelt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bpfsmith.appnet.core import Type
from bpfsmith.source import Span


@dataclass(slots=True)
class Writer:
    """C text with indentation; `#line` directives are written when the user's line changes."""

    path: str
    lines: list[str] = field(default_factory=list)
    depth: int = 0

    def put(self, text: str) -> None:
        self.lines.append("\t" * self.depth + text if text else "")

    def at(self, span: Span) -> None:
        self.lines.append(f'#line {span.line} "{printable(span.path or self.path)}"')

    @contextmanager
    def block(self, head: str, tail: str = "}") -> Iterator[None]:
        if head.startswith("else") and self.lines[-1] == "\t" * self.depth + "}":
            self.lines[-1] += f" {head} {{"
        else:
            self.put(f"{head} {{" if head else "{")
        self.depth += 1
        yield
        self.depth -= 1
        self.put(tail)


def expected(condition: str, likely: bool | None) -> str:
    """A condition with what the author expects of it, for clang to lay out its branches."""
    return condition if likely is None else f"__builtin_expect(!!({condition}), {int(likely)})"


def described(kind: Type) -> str:
    """A type on one line, as it stands in a comment."""
    if kind.name == "string":
        return f"string({kind.size})"
    args = ", ".join(map(described, kind.args))
    return f"<{args}>" if kind.name == "Pair" else f"{kind.name}<{args}>" if args else kind.name


def unwrapped(text: str) -> str:
    """Without the parentheses around the whole."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0 and position < len(text) - 1:
            return text
    return text[1:-1]


def number(value: int, width: int) -> str:
    if width == 32:
        return str(value) if value < 1 << 31 else f"{value}u"
    return str(value) if value < 1 << 16 else f"{value:#x}ULL"


def identifier(name: str) -> str:
    text = "".join(char if char.isascii() and (char.isalnum() or char == "_") else "_" for char in name)
    return text if text and not text[0].isdigit() else f"_{text}"


def printable(path: str) -> str:
    """A file's name for a comment or a C string: what cannot stand there becomes a question mark."""
    return "".join(char if char.isprintable() and char not in '"\\' else "?" for char in path)


def comment(message: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in message).replace("\\", "/")
