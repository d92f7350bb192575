"""The local variables of C text and how many bytes they take, near enough to tell which one is too large."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.repair.ctext import blanked
from bpfsmith.source import SourceText, Span

_DECLARATION = re.compile(
    r"^\s*(?P<type>(?:(?:volatile|const|register)\s+)*(?:(?:struct|union|enum)\s+)?[A-Za-z_]\w*(?:\s+(?!=)[A-Za-z_]\w*)*?)"
    r"\s+(?P<name>[A-Za-z_]\w*)\s*(?P<dimensions>(?:\[[^\]]*\]\s*)*)(?:__attribute__\s*\(\(.*?\)\)\s*)?(?P<end>=|;)"
)
_NO_TYPES = frozenset("return goto else case typedef break continue".split())
_SIZES = {
    "char": 1, "bool": 1, "_Bool": 1, "u8": 1, "s8": 1, "short": 2, "u16": 2, "s16": 2, "int": 4, "unsigned": 4, "u32": 4,
    "s32": 4, "float": 4, "long": 8, "u64": 8, "s64": 8, "size_t": 8, "double": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Local:
    """One local variable: where it is declared (from 1), its type and dimensions as written, and about how many bytes."""

    line: int
    column: int
    type: str
    name: str
    dimensions: str
    size: int

    def span(self, path: str) -> Span:
        return Span(path, self.line, self.column, self.line, self.column + len(self.name))


def largest(text: SourceText | None) -> Local | None:
    """The local variable that takes most of the stack; None where there is none with a known size."""
    found = [item for item in locals_of(text.text) if item.size] if text else []
    return max(found, key=lambda item: item.size, default=None)


def locals_of(text: str) -> Iterator[Local]:
    """The variables that are declared, one a line, in the bodies of functions."""
    code = blanked(text)
    inside = _in_functions(re.sub(r"^[ \t]*#[^\n]*", "", code, flags=re.MULTILINE))
    for number, line in enumerate(code.split("\n"), 1):
        match = _DECLARATION.match(line) if number in inside else None
        if match is None or match["type"].split()[0] in _NO_TYPES or "static" in line:
            continue
        size = _size(match["type"], code, 0) * _count(match["dimensions"], code)
        yield Local(number, match.start("name") + 1, match["type"], match["name"], match["dimensions"].strip(), size)


def _in_functions(code: str) -> set[int]:
    """The lines that lie in the body of a function: in braces whose opening one follows a parenthesis."""
    lines: set[int] = set()
    depth, begun, number, since = 0, False, 1, 0
    for at, char in enumerate(code):
        if char == "\n":
            number += 1
        elif char == "{":
            if depth == 0:
                begun = ")" in code[since:at].rsplit(";", 1)[-1].rsplit("}", 1)[-1]
            depth += 1
        elif char == "}":
            depth -= 1
            since = at
        if depth and begun:
            lines.add(number)
    return lines


def _size(type_text: str, code: str, depth: int) -> int:
    """Bytes of a type, without padding; 0 where that is not known."""
    words = [word for word in type_text.split() if word not in ("const", "volatile", "register", "signed")]
    if not words or depth > 6:
        return 0
    if words[0] in ("struct", "union") and len(words) > 1:
        body = re.search(rf"\b{words[0]}\s+{re.escape(words[1])}\s*\{{", code)
        return _members(code, body.end(), words[0] == "union", depth) if body else 0
    if words[0] == "enum":
        return 4
    known = [_SIZES[name] for word in words if (name := word.removeprefix("__").removesuffix("_t")) in _SIZES]
    if known:
        return known[-1] if words != ["unsigned", "long"] else 8
    alias = re.search(rf"\}}\s*{re.escape(words[-1])}\s*;", code)
    if alias:
        start = code.rfind("typedef", 0, alias.start())
        brace = code.find("{", start)
        return _members(code, brace + 1, False, depth) if 0 <= start < brace < alias.start() else 0
    return 0


def _members(code: str, start: int, is_union: bool, depth: int) -> int:
    nested, end = 1, start
    while end < len(code) and nested:
        nested += (code[end] == "{") - (code[end] == "}")
        end += 1
    sizes = [0]
    for member in code[start : end - 1].split(";"):
        match = re.match(r"\s*(.*?)\s*(\*?)\s*([A-Za-z_]\w*)\s*((?:\[[^\]]*\]\s*)*)$", member, re.DOTALL)
        if match:
            sizes.append((8 if match[2] else _size(match[1], code, depth + 1)) * _count(match[4], code))
    return max(sizes) if is_union else sum(sizes)


def _count(dimensions: str, code: str) -> int:
    total = 1
    for text in re.findall(r"\[([^\]]*)\]", dimensions):
        total *= number(text, code)
    return total


def number(text: str, code: str, depth: int = 0) -> int:
    """A constant of digits, macros, + and *; 1 for anything else."""
    text = text.strip()
    if text.isdecimal():
        return int(text)
    if depth < 6 and re.fullmatch(r"[A-Za-z_]\w*", text):
        macro = re.search(rf"^#\s*define\s+{text}\s+(.+)$", code, re.MULTILINE)
        return number(macro[1].strip().strip("()"), code, depth + 1) if macro else 1
    for operator, join in (("+", sum), ("*", _product)):
        parts = text.split(operator)
        if len(parts) > 1 and depth < 6:
            return join([number(part.strip().strip("()"), code, depth + 1) for part in parts])
    return 1


def _product(numbers: list[int]) -> int:
    out = 1
    for number in numbers:
        out *= number
    return out
