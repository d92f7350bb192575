"""C text, looked at line by line: declarations, assignments, early returns, loops. No parser: a compiler has the last word.

Everything here is a search in the user's file that may find nothing; what it finds is shown, or tried and then compiled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bpfsmith.repair.case import Case
from bpfsmith.source import Span

_KEYWORDS = frozenset("return if else for while do goto break continue switch case default sizeof typedef".split())
_LEAVES = re.compile(r"\b(?:return|goto|continue|break)\b")
_RETURN = re.compile(r"\breturn\s+([A-Za-z_0-9]+|-\d+)\s*;|\b(goto\s+\w+|break|continue)\s*;")


def lines(case: Case, span: Span | None) -> list[str]:
    """The lines of a span's file, comments and strings blanked."""
    text = case.text(span.path) if span else case.source
    found = blanked(text.text).split("\n") if text else []
    # An object may know of lines behind the last that it quotes.
    return found + [""] * (span.line - len(found)) if span and found else found


def blanked(text: str) -> str:
    """C text with the insides of comments and strings as spaces, at the same places."""

    def spaces(match: re.Match[str]) -> str:
        found = match[0]
        if found.startswith(("'", '"')):
            return found[0] + " " * (len(found) - 2) + found[-1]
        return re.sub(r"[^\n]", " ", found)

    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', spaces, text, flags=re.DOTALL)


def find_line(case: Case, pattern: str, holding: str = "") -> Span | None:
    """The first line of the program's file that matches, as a span of the match; one that holds a text is preferred."""
    text = case.source
    found: list[Span] = []
    for number, line in enumerate(text.text.split("\n") if text else [], 1):
        match = re.search(pattern, line)
        if match and text:
            span = Span(text.path, number, match.start() + 1, number, match.end() + 1)
            if holding in line:
                return span
            found.append(span)
    return found[0] if found else None


def assigned(case: Case, span: Span | None) -> str | None:
    """The variable that the statement at a span gives a value to: `struct flow *f = lookup(..)` says `f`."""
    found = lines(case, span)
    if span is None or not 1 <= span.line <= len(found):
        return None
    for number in (span.line, span.line - 1):
        match = re.search(r"([A-Za-z_]\w*(?:(?:->|\.)\w+)*)\s*=(?!=)", found[number - 1]) if number >= 1 else None
        if match:
            return match[1]
    return None


def function_range(case: Case, span: Span) -> tuple[int, int]:
    """First and last line (from 1) of the function around a span: from the last closing brace at column 0 to the next."""
    found = lines(case, span)
    start = next((n + 1 for n in range(span.line - 1, 0, -1) if found[n - 1].startswith("}")), 1)
    end = next((n for n in range(span.line, len(found) + 1) if found[n - 1].startswith("}")), len(found))
    return start, end


def declaration(case: Case, span: Span | None, name: str | None) -> Span | None:
    """Where the function around a span declares a local variable."""
    if span is None or not name:
        return None
    found = lines(case, span)
    if not 1 <= span.line <= len(found):
        return None
    start, _ = function_range(case, span)
    declares = re.compile(
        rf"^\s*(?:(?:static|const|volatile|register)\s+)*((?:struct|union|enum)\s+\w+|\w+)[\w\s*]*?[\s*]({re.escape(name)})\s*(?:[=;,\[]|$)"
    )
    several = re.compile(rf"^\s*((?:struct|union|enum)\s+\w+|\w+)\s[^()]*?\b({re.escape(name)})\b\s*[=;,\[]")
    for number in range(min(span.line, len(found)), start - 1, -1):
        match = declares.match(found[number - 1]) or several.match(found[number - 1])
        if match and match[1].split()[0] not in _KEYWORDS:
            return Span(span.path, number, match.start(2) + 1, number, match.end(2) + 1)
    return None


def arguments(case: Case, span: Span | None) -> list[str]:
    """The arguments of the call at a span, as text."""
    found = lines(case, span)
    if span is None or not 1 <= span.line <= len(found):
        return []
    text = "\n".join(found[span.line - 1 : span.line + 8])[max(span.column - 1, 0) :]
    start = text.find("(")
    if start < 0:
        return []
    depth, parts, at = 0, [], start + 1
    for position in range(start, len(text)):
        char = text[position]
        depth += (char in "([{") - (char in ")]}")
        if (char == "," and depth == 1) or depth == 0:
            parts.append(text[at:position].strip())
            at = position + 1
        if depth == 0:
            break
    return parts


def pointed_argument(case: Case, span: Span | None, register: str | None) -> str | None:
    """The local variable whose address is passed in a register: `&key` in `bpf_map_lookup_elem(&flows, &key)`."""
    parts = arguments(case, span)
    number = int(register) if register and register.isdecimal() else 0
    if 1 <= number <= len(parts):
        match = re.match(r"^(?:\([^)]*\)\s*)?&?\s*([A-Za-z_]\w*)", parts[number - 1])
        if match:
            return match[1]
    return None


def size_argument(case: Case, span: Span | None, register: str) -> str | None:
    """The text of the argument that a register holds."""
    parts = arguments(case, span)
    number = int(register[1:]) if register[1:].isdecimal() else 0
    return parts[number - 1] if 1 <= number <= len(parts) else None


def first_map_argument(case: Case, span: Span | None) -> str:
    for part in arguments(case, span):
        match = re.match(r"^&\s*(\w+)$", part)
        if match:
            return match[1]
    return ""


def index_name(case: Case, places: Sequence[Span | None], loaded: Span | None) -> str | None:
    """What the user calls an index: what stands in brackets, or is added, at one of the places; or what its value went to."""
    for pattern in (r"\[\s*([A-Za-z_]\w*(?:(?:->|\.)\w+)*)\s*\]", r"[+]=?\s*([A-Za-z_]\w*)\s*[;)]"):
        for place in places:
            match = re.search(pattern, case.line_text(place))
            if match:
                return match[1]
    for place in places:
        match = re.search(r"\[\s*([^\[\]\d][^\[\]]{0,40}?)\s*\]", case.line_text(place))
        if match:
            return match[1]
    return assigned(case, loaded)


def upper_check(case: Case, near: Span | None, name: str) -> Span | None:
    """The comparison before a line that was meant to bound a variable from above; None where there is none, or on the line."""
    found = lines(case, near)
    if near is None or not found or not re.fullmatch(r"[A-Za-z_]\w*(?:(?:->|\.)\w+)*", name):
        return None
    start, _ = function_range(case, near)
    word = rf"(?<![\w.>]){re.escape(name)}\b(?!\s*(?:->|\.|\())"
    at_most, at_least = rf"{word}\s*<=?(?!<)|(?<!>)>=?\s*{word}", rf"{word}\s*>=?(?!>)|(?<!<)<=?\s*{word}"
    for number in range(near.line - 1, start - 1, -1):
        line = found[number - 1]
        if not re.search(r"\b(?:if|for|while)\b", line):
            continue
        if not case.is_compiled(near.path, number):  # left out by the preprocessor
            continue
        leaves = any(_LEAVES.search(text) for text in (line, *found[number : number + 1]))
        match = re.search(at_least if leaves else at_most, line.replace("->", "  "))
        if match:
            return Span(near.path, number, match.start() + 1, number, match.end() + 1)
    return None


def packet_check(case: Case, near: Span | None, pointer: str) -> Span | None:
    """The last comparison of a pointer with the packet's end before a line, by its text: compilers merge checks, and their
    lines are lost."""
    found = lines(case, near)
    if near is None or not found or not re.fullmatch(r"[A-Za-z_]\w*", pointer):
        return None
    compares = re.compile(rf"\bif\b.*(?<![\w.>]){pointer}\b(?!\s*->)[^;]*?>=?\s*[^;]*end\b")
    for number in range(near.line - 1, function_range(case, near)[0] - 1, -1):
        match = compares.search(found[number - 1])
        if match and (case.is_compiled(near.path, number) or not _is_conditional(found, number)):
            at = found[number - 1].index(pointer, match.start())
            return Span(near.path, number, at + 1, number, match.end() + 1)
    return None


def _is_conditional(found: Sequence[str], number: int) -> bool:
    """Does a line lie between #if and #endif?"""
    depth = 0
    for line in found[:number]:
        depth += bool(re.match(r"\s*#\s*if", line)) - bool(re.match(r"\s*#\s*endif", line))
    return depth > 0


def end_name(line: str) -> str:
    """What a line compares with, which holds the packet's end."""
    found = re.search(r"[<>]=?\s*(?:\([^()]*\)\s*)*([A-Za-z_]\w*)", line.replace("->", "  "))
    return found[1] if found else "data_end"


def addition_line(case: Case, near: Span | None, name: str) -> Span | None:
    """The last place before a line where a variable is added to something, in the function around it."""
    found = lines(case, near)
    if near is None or not found or not re.fullmatch(r"[A-Za-z_]\w*(?:(?:->|\.)\w+)*", name):
        return None
    start, _ = function_range(case, near)
    adds = re.compile(rf"(?:\+=?|\[)\s*(?:\([^()]*\)\s*)?{re.escape(name)}\b")
    for number in range(min(near.line, len(found)), start - 1, -1):
        match = adds.search(found[number - 1])
        if match:
            return Span(near.path, number, match.start() + 1, number, match.end() + 1)
    return None


def early_return(case: Case, span: Span | None) -> str:
    """How the function around a place leaves early: the statement of the nearest `if (..)` before it, `return 0;` otherwise."""
    found = lines(case, span)
    if span is None or not found:
        return "return 0;"
    start, end = function_range(case, span)
    before = range(min(span.line, len(found)) - 1, start - 1, -1)
    for number in (*before, *range(span.line + 1, end + 1)):
        match = _RETURN.search(found[number - 1])
        is_conditional = bool(match) and (
            re.search(r"\bif\s*\(", found[number - 1]) or re.search(r"\bif\s*\(.*\)\s*\{?\s*$", found[number - 2])
        )
        if match and is_conditional and match[2] not in ("break", "continue"):
            return match[0].strip()
    for number in range(end, start - 1, -1):
        match = re.search(r"\breturn\s+([A-Z][A-Z_0-9]+|-?\d+)\s*;", found[number - 1])
        if match:
            return match[0]
    return "return 0;"


def returning(case: Case, span: Span) -> Span | None:
    """The return statement that an `if` at a span leads to: in its block, or the statement after it."""
    found = lines(case, span)
    for number in range(span.line, min(span.line + 8, len(found)) + 1):
        line = found[number - 1]
        if match := re.search(r"\breturn\b", line):
            return Span(span.path, number, match.start() + 1, number, match.end() + 1)
        if "}" in line and number > span.line:
            return None
    return None


def loop_head(case: Case, span: Span | None) -> Span | None:
    """The innermost loop around a place, by braces, or on its own line."""
    if span is None:
        return None
    found = lines(case, span)
    if not 1 <= span.line <= len(found):
        return None
    start, _ = function_range(case, span)
    depth = 0
    for number in range(span.line, start - 1, -1):
        line = found[number - 1]
        if number != span.line:
            depth += line.count("}") - line.count("{")
        match = re.search(r"\b(?:for|while|do)\b", line)
        if match and (number == span.line or depth < 0 or (depth == 0 and number == span.line - 1)):
            return Span(span.path, number, match.start() + 1, number, match.end() + 1)
        depth = max(depth, 0) if depth > 0 else (0 if depth < 0 and not match else depth)
    return None


def section_line(case: Case) -> Span | None:
    """The SEC(..) line of the program."""
    name = re.escape(case.program.name)
    text = case.source
    found = text.text.split("\n") if text else []
    for number, line in enumerate(found, 1):
        if re.search(rf"\b{name}\s*(?:\(|,)", line):
            for above in range(number, max(number - 3, 0), -1):
                match = re.search(r"SEC\([^)]*\)", found[above - 1])
                if match and text:
                    return Span(text.path, above, match.start() + 1, above, match.end() + 1)
    return None


def map_type_line(case: Case, definition: Span) -> Span | None:
    """The `__uint(type, ..)` of the definition that ends at a span."""
    found = lines(case, definition)
    for number in range(definition.line, max(definition.line - 12, 0), -1):
        match = re.search(r"__uint\(\s*type\s*,[^)]*\)|\.type\s*=\s*\w+", found[number - 1])
        if match:
            return Span(definition.path, number, match.start() + 1, number, match.end() + 1)
    return None
