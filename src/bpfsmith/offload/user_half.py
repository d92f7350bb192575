"""The user half: the server's own source with as few changes as can be.

Variables that both halves use go to a section of their own, over which the arena is mapped: they keep name, type and address.
Calls that wait let the kernel half work meanwhile, and the one that takes requests attaches it the first time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from bpfsmith.csource.tree import CType, Node, Shape
from bpfsmith.diagnostic import Diagnostic, Label, Unsupported
from bpfsmith.offload.half import KernelHalf, State
from bpfsmith.offload.landmarks import RECEIVES, WAITS, Findings
from bpfsmith.offload.program import Server
from bpfsmith.offload.tail import ends_request
from bpfsmith.source import Span

_NO_CODE = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|/\*.*?\*/|//[^\n]*', re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*')


HEAP = frozenset(("malloc", "calloc", "realloc", "free", "strdup", "strndup"))
"""What the user half takes from the shared memory instead, so that the kernel half can follow pointers there."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`length` characters from `start` on become `text`."""

    start: int
    length: int
    text: str


def user_half(server: Server, findings: Findings, half: KernelHalf, sources: Mapping[str, str]) -> dict[str, str]:
    """The changed text of each file, by its path. `sources` are the files as they are.

    Unsupported `cannot-edit-source` where a declaration or a call stands behind a macro.
    """
    edits: dict[str, list[Edit]] = defaultdict(list)
    endings: dict[str, list[str]] = defaultdict(list)
    for state in half.states:
        _share(server, state, sources, edits, endings)
    for call in server.all_calls():
        if call.ref in server.functions or call.name not in RECEIVES | WAITS | {"sendto"}:
            continue
        if call.name == "sendto" and not ends_request(server, findings, half, call):
            continue
        span = call.inside.span(call.node)
        found = sources.get(span.path)
        if found is None:
            continue
        start, end = _call_at(found, span, call.name, _turn(server, call.inside.unit.source.path, call.node, call.name))
        text = found[start:end]
        if call.node is findings.request.receive.node:
            first = call.node.children[1]
            new = f"BS_RECEIVING({call.inside.text(first)}, {text})"
        elif call.name == "sendto":
            new = f"BS_LAST({text})"
        else:
            new = f"BS_WAITING({text})"
        edits[span.path].append(Edit(start, end - start, new))
    for call in server.all_calls():
        if call.name in HEAP and call.ref not in server.functions and uses_heap(server, half):
            span = call.inside.span(call.node)
            if span.path in sources:
                turn = _turn(server, call.inside.unit.source.path, call.node, call.name)
                start, _ = _call_at(sources[span.path], span, call.name, turn)
                edits[span.path].append(Edit(start, 0, "bs_"))
    out = {}
    for path, text in sources.items():
        changed = _edited(text, edits[path])
        if edits[path] or endings[path]:
            tail = "".join(f"\n{line}" for line in endings[path])
            changed = f'#include "offload_user.h"\n{changed}{tail}{chr(10) if tail else ""}'
        out[path] = changed
    return out


def uses_heap(server: Server, half: KernelHalf) -> bool:
    """Does the server allocate memory, and keep pointers in variables that both halves use?"""
    return any(call.name in HEAP for call in server.all_calls()) and any(_points(item.type, server) for item in half.states)


def _points(ctype: CType, server: Server) -> bool:
    bare = ctype.bare
    if bare.shape is Shape.POINTER:
        return True
    if bare.shape is Shape.ARRAY and bare.target is not None:
        return _points(bare.target, server)
    record = next((unit.records[bare.record] for unit in server.units if bare.record in unit.records), None)
    return record is not None and any(_points(item.type, server) for item in record.fields)


def _edited(text: str, edits: list[Edit]) -> str:
    for edit in sorted(set_of(edits), key=lambda item: (item.start, item.length), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.start + edit.length :]
    return text


def set_of(edits: list[Edit]) -> list[Edit]:
    return list(dict.fromkeys(edits))


def _turn(server: Server, path: str, node: Node, name: str) -> int:
    """The how manieth call of this name on its line."""
    unit = next(unit for unit in server.units if unit.source.path == path)
    line = unit.source.span(node.start).line
    same = sorted(
        item.start
        for function in unit.functions.values()
        for item in function.body.walk()
        if item.kind == "CALL_EXPR" and item.name == name and unit.source.span(item.start).line == line
    )
    return same.index(node.start)


def _line_start(text: str, line: int) -> int:
    at = 0
    for _ in range(line - 1):
        at = text.index("\n", at) + 1
    return at


def _blank(text: str) -> str:
    """The text with comments and the insides of strings as blanks, every character where it was."""
    return _NO_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _refused(span: Span, what: str) -> Unsupported:
    return Unsupported(
        Diagnostic("cannot-edit-source", f"{what} does not stand on this line as it is", Label(span),
                   help="write it out instead of using a macro")
    )  # fmt: skip


def _call_at(text: str, span: Span, name: str, turn: int) -> tuple[int, int]:
    plain = _blank(text)
    start = _line_start(text, span.line)
    end = plain.find("\n", start)
    found = list(re.finditer(rf"\b{name}\s*\(", plain[start : end if end >= 0 else len(plain)]))
    if turn >= len(found):
        raise _refused(span, f"the call of {name}()")
    first, at, depth = start + found[turn].start(), start + found[turn].end(), 1
    while depth and at < len(plain):
        depth += (plain[at] == "(") - (plain[at] == ")")
        at += 1
    return first, at


def _share(
    server: Server,
    state: State,
    sources: Mapping[str, str],
    edits: dict[str, list[Edit]],
    endings: dict[str, list[str]],
) -> None:
    """Moves one variable to the shared section, and says where it is."""
    path = state.span.path
    text = sources.get(path)
    if text is None:
        raise _refused(state.span, f"the variable {state.name}")
    plain = _blank(text)
    start = _line_start(text, state.span.line)
    end = plain.find("\n", start)
    name = _plain_name(server, state)
    if state.type.shape is Shape.FUNCTION:
        endings[path].append(_constructor(state, state.name))
        return
    found = re.search(rf"\b{name}\b", plain[start : end if end >= 0 else len(plain)])
    if found is None:
        raise _refused(state.span, f"the declaration of {name}")
    after = start + found.end()
    while (bracket := re.match(r"\s*\[", plain[after:])) is not None:
        after = plain.index("]", after + bracket.end() - 1) + 1
    stop = _declaration_end(plain, after)
    opening = max(plain.rfind(char, 0, start + found.start()) for char in ";{}") + 1
    known = server.variables.get(state.ref)
    if known is not None and not state.promoted:  # the type may be spelt out, in braces
        opening = min(opening, _line_start(text, known.unit.source.span(known.start).line))
    head = plain[opening : start + found.start()]
    if known is not None and known.is_const:
        outside = _without_braces(head)
        last = outside.rfind("*")
        where = [item.start() for item in re.finditer(r"\bconst\b", outside) if item.start() > last]
        if not where:
            raise _refused(state.span, f"the const of {name}")
        edits[path].append(Edit(opening + where[-1], 5, "/* const */"))
    registered = f"bs_register({state.index}, (void *)&{name});"
    if state.promoted:
        _promote(state, name, text, plain, opening, after, stop, edits[path])
        semicolon = plain.index(";", stop) if plain[stop] != ";" else stop
        edits[path].append(Edit(semicolon + 1, 0, f" {registered}"))
        return
    edits[path].append(Edit(after, 0, " BS_SHARED"))
    variable = server.variables[state.ref]
    if variable.initializer is not None:
        _texts(state, variable.initializer, text, plain, after, stop, opening, edits[path])
    if state.function:
        semicolon = plain.index(";", stop) if plain[stop] != ";" else stop
        edits[path].append(Edit(semicolon + 1, 0, f" {registered}"))
    else:
        endings[path].append(_constructor(state, name))


def _without_braces(text: str) -> str:
    """The text with what stands in braces as blanks."""
    out, depth = "", 0
    for char in text:
        depth += char == "{"
        out += char if depth == 0 else " "
        depth -= char == "}"
    return out


def _constructor(state: State, name: str) -> str:
    call = f"bs_register({state.index}, (void *)&{name});"
    return f"__attribute__((constructor)) static void bs_register_{state.index}(void) {{ {call} }}"


def _plain_name(server: Server, state: State) -> str:
    variable = server.variables.get(state.ref)
    return variable.name if variable is not None else state.ref.rpartition(":")[2]


def _declaration_end(plain: str, at: int) -> int:
    """Where the `,` or `;` after a declarator and its initializer stands."""
    depth = 0
    while at < len(plain):
        depth += (plain[at] in "([{") - (plain[at] in ")]}")
        if depth == 0 and plain[at] in ",;":
            return at
        at += 1
    return at


def _promote(state: State, name: str, text: str, plain: str, opening: int, after: int, stop: int, edits: list[Edit]) -> None:
    """A local variable of the event loop outlives it: it becomes static, and is set where it was initialised."""
    first = opening + len(plain[opening:]) - len(plain[opening:].lstrip())
    statement = plain[opening : plain.index(";", stop)]
    if "," in statement and re.search(r"=[^,;]*\(", statement):  # static variables start from constants
        raise _refused(state.span, f"a declaration of {name} alone")
    edits.append(Edit(first, 0, "static "))
    edits.append(Edit(after, 0, " BS_SHARED"))
    value = text[after:stop].strip()
    if not value or re.fullmatch(r"=\s*(-?\w+|\{.*\})", value, re.DOTALL):
        return
    if plain[stop] == "," or "," in plain[opening:after]:  # one of several
        raise _refused(state.span, f"the initializer of {name}, which is not a constant,")
    edits.append(Edit(after, stop - after, f"; {name} {value}"))


def _texts(
    state: State, initializer: Node, text: str, plain: str, after: int, stop: int, opening: int, edits: list[Edit]
) -> None:
    """Texts that a table points to move to the shared section with it."""
    literals = [item for item in initializer.walk() if item.kind == "STRING_LITERAL"]
    if not any(item.extra == "decayed" for item in literals):
        return
    found = [item for item in _STRING.finditer(text, after, stop) if plain[item.start() : item.start() + 1] == " "]
    if len(found) != len(literals):
        raise _refused(state.span, f"a text in the initializer of {state.name}")
    moved = []
    for at, (literal, item) in enumerate(zip(literals, found, strict=True)):
        if literal.extra == "decayed":
            edits.append(Edit(item.start(), item.end() - item.start(), f"bs_{state.name}_{at}"))
            moved.append(f"static char bs_{state.name}_{at}[] BS_SHARED = {item[0]};")
    first = opening + len(plain[opening:]) - len(plain[opening:].lstrip())
    # A declaration may follow a line of the preprocessor's: the texts stand on lines of their own.
    line = text.rfind("\n", 0, _code_start(plain, first)) + 1
    edits.append(Edit(line, 0, "\n".join(moved) + "\n"))


def _code_start(plain: str, at: int) -> int:
    """Past lines of the preprocessor's."""
    while plain[at : at + 1] == "#":
        at = plain.find("\n", at) + 1
        while plain[at : at + 1].isspace():
            at += 1
    return at
