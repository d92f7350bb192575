"""A server as a whole: the functions, variables and types of all its files, who calls whom, and constant expressions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bpfsmith.csource.tree import Function, Node, Record, Unit, Variable


@dataclass(frozen=True, slots=True)
class Call:
    """A call: who calls (`inside`), where, and the name of what is called ("" through a pointer)."""

    inside: Function
    node: Node
    name: str
    ref: str

    @property
    def arguments(self) -> tuple[Node, ...]:
        return self.node.children[1:]


@dataclass(slots=True)
class Server:
    """All files of a server. Functions and variables by clang's name of them, which tells apart what is static in a file."""

    units: tuple[Unit, ...]
    functions: dict[str, Function] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    calls: dict[str, list[Call]] = field(default_factory=dict)  # by the function that they stand in
    addressed: set[str] = field(default_factory=set)  # functions whose address is taken

    @classmethod
    def of(cls, units: Sequence[Unit]) -> Server:
        server = cls(tuple(units))
        for unit in units:
            server.functions.update(unit.functions)
            for ref, variable in unit.variables.items():
                known = server.variables.get(ref)
                if known is None or known.is_extern or (known.initializer is None and variable.initializer is not None):
                    server.variables[ref] = variable
        for function in server.functions.values():
            server.calls[function.ref] = list(_calls(function))
            server.addressed |= set(_addressed(function.body))
        for variable in server.variables.values():
            if variable.initializer is not None:
                server.addressed |= set(_addressed(variable.initializer))
        return server

    def record(self, tag: str, unit: Unit) -> Record | None:
        return unit.records.get(tag) or next((u.records[tag] for u in self.units if tag in u.records), None)

    def callers(self, ref: str) -> list[Call]:
        return [call for calls in self.calls.values() for call in calls if call.ref == ref]

    def all_calls(self) -> Iterator[Call]:
        for calls in self.calls.values():
            yield from calls

    def reaches(self, node: Node, names: frozenset[str], seen: frozenset[str] = frozenset()) -> bool:
        """Does anything below `node`, or a function called there, call one of these?"""
        for item in node.walk():
            if item.kind != "CALL_EXPR":
                continue
            if item.name in names:
                return True
            for ref in self._callees(item) - seen:
                if self.reaches(self.functions[ref].body, names, seen | {ref}):
                    return True
        return False

    def _callees(self, call: Node) -> set[str]:
        """The function that is called, or, through a pointer, all whose address is taken."""
        if call.ref in self.functions:
            return {call.ref}
        target = stripped(call.children[0]) if call.children else None
        through_pointer = target is not None and target.extra != "FUNCTION_DECL"
        return {ref for ref in self.addressed if ref in self.functions} if through_pointer else set()


def _calls(function: Function) -> Iterator[Call]:
    for node in function.body.walk():
        if node.kind == "CALL_EXPR":
            yield Call(function, node, node.name, node.ref)


def _addressed(node: Node, called: bool = False) -> Iterator[str]:
    """The functions that are named other than to call them."""
    if node.kind == "DECL_REF_EXPR" and node.extra == "FUNCTION_DECL" and not called:
        yield node.ref
    for index, child in enumerate(node.children):
        yield from _addressed(child, node.kind == "CALL_EXPR" and index == 0 and child.kind == "DECL_REF_EXPR")


def stripped(node: Node) -> Node:
    """The expression without parentheses and casts around it."""
    while node.kind in ("PAREN_EXPR", "CSTYLE_CAST_EXPR") and node.children:
        node = node.children[-1]
    return node


def operator(function: Function, node: Node) -> str:
    """What stands between two operands, or beside one."""
    text = function.unit.source.text
    if len(node.children) == 2:
        return text[node.children[0].end : node.children[1].start].strip()
    child = node.children[0]
    return text[node.start : child.start].strip() or text[child.end : node.end].strip()


def constant(function: Function, node: Node) -> int | None:
    """The value of a constant expression of integers; None where it is not one that we can tell."""
    node = stripped(node)
    match node.kind:
        case "INTEGER_LITERAL":
            text = function.text(node).rstrip("uUlL")
            try:
                return int(text, 8 if len(text) > 1 and text[0] == "0" and text[1:].isdigit() else 0)
            except ValueError:
                return None
        case "CHARACTER_LITERAL":
            text = function.text(node)
            return ord(text[1]) if len(text) == 3 else {"\\n": 10, "\\r": 13, "\\t": 9, "\\0": 0}.get(text[1:-1])
        case "DECL_REF_EXPR":
            return node.value
        case "UNARY_OPERATOR" if node.children:
            inner = constant(function, node.children[0])
            return (
                None
                if inner is None
                else {"-": -inner, "~": ~inner, "+": inner, "!": int(not inner)}.get(operator(function, node))
            )
        case "BINARY_OPERATOR" if len(node.children) == 2:
            left, right = (constant(function, item) for item in node.children)
            if left is None or right is None:
                return None
            try:
                return {
                    "+": left + right, "-": left - right, "*": left * right, "|": left | right, "&": left & right,
                    "^": left ^ right, "<<": left << min(right, 64) if right >= 0 else None,
                    ">>": left >> right if right >= 0 else None,
                }.get(operator(function, node))  # fmt: skip
            except (ValueError, OverflowError):
                return None
        case "CXX_UNARY_EXPR" if len(node.children) == 1 and node.children[0].type is not None:
            return node.children[0].type.size or None
        case "CALL_EXPR" if node.name in ("htons", "ntohs", "__bswap_16") and len(node.children) == 2:
            inner = constant(function, node.children[1])
            return None if inner is None else int.from_bytes((inner & 0xFFFF).to_bytes(2, "little"), "big")
        case _:
            return None
