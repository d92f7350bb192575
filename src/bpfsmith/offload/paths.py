"""The ways a request can go, as far as its handler's conditions tell them apart: what is asked, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from bpfsmith.csource.tree import Function, Node
from bpfsmith.offload.half import Reason
from bpfsmith.offload.landmarks import REPLIES, Findings, enclosing
from bpfsmith.offload.loops import loop_parts
from bpfsmith.offload.program import Server
from bpfsmith.source import Span

_MOST = 64


class End(StrEnum):
    REPLY = "answered"
    CONSUMED = "consumed, no reply"
    USER = "handed over"


@dataclass(frozen=True, slots=True)
class Way:
    """Conditions in the order in which they are asked, in the source's words, the end, and where. `reason` for what is handed
    over."""

    conditions: tuple[str, ...]
    end: End
    span: Span
    reason: Reason | None = None


@dataclass(slots=True)
class _Walk:
    server: Server
    findings: Findings
    reasons: tuple[Reason, ...]

    def of(self, function: Function, nodes: list[Node], asked: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Way | None]]:
        """The ways through some statements: with their end, or None where they go on after the last."""
        if not nodes:
            yield asked, None
            return
        first, rest = nodes[0], nodes[1:]
        for so_far, way in self.step(function, first, asked):
            if way is not None:
                yield so_far, way
            else:
                yield from self.of(function, rest, so_far)

    def step(self, function: Function, node: Node, asked: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Way | None]]:
        reason = self._reason(function, node)
        below = self._reason_below(node) if reason is None else None
        if below is not None:
            name, inner = below
            yield asked, Way((*asked, f"{name}() needs the process"), End.USER, inner.span, inner)
            asked = (*asked, f"{name}() does not")
        if node.kind == "COMPOUND_STMT":
            yield from self.of(function, list(node.children), asked)
        elif node.kind == "IF_STMT":
            words = _words(function, node.children[0])
            yield from self.of(function, [node.children[1]], (*asked, words))
            yield from self.of(function, list(node.children[2:]), (*asked, f"not ({words})"))
        elif node.kind == "SWITCH_STMT":
            yield from self._switch(function, node, asked)
        elif reason is not None:
            yield asked, Way(asked, End.USER, reason.span, reason)
        elif (reply := self._reply(node)) is not None:
            yield asked, Way(asked, End.REPLY, function.span(reply))
        elif node.kind in ("CONTINUE_STMT", "RETURN_STMT"):
            yield asked, Way(asked, End.CONSUMED, function.span(node))
        elif node.kind in ("CASE_STMT", "DEFAULT_STMT", "LABEL_STMT"):
            yield from self.step(function, node.children[-1], asked)
        else:
            yield asked, None

    def _switch(self, function: Function, node: Node, asked: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Way | None]]:
        """Each case up to its break; what falls through is shown with the case it falls into."""
        value, body = _words(function, node.children[0]), node.children[-1]
        groups: list[tuple[str, list[Node]]] = []
        for child in body.children:
            inner = child
            while inner.kind in ("CASE_STMT", "DEFAULT_STMT"):
                is_case = inner.kind == "CASE_STMT"
                groups.append((f"{value} == {_words(function, inner.children[0])}" if is_case else f"other {value}", []))
                inner = inner.children[-1]
            if groups:
                groups[-1][1].append(inner)
        for label, statements in groups:
            if not statements:
                continue
            body_nodes = []
            for statement in statements:
                if statement.kind == "BREAK_STMT":
                    break
                body_nodes.append(statement)
            yield from self.of(function, body_nodes, (*asked, label))

    def _reply(self, node: Node) -> Node | None:
        """The call that answers, in this statement or in a function that it calls."""
        if node.kind in ("FOR_STMT", "WHILE_STMT", "DO_STMT"):
            return None
        for item in node.walk():
            if item.kind == "CALL_EXPR" and item.name in REPLIES and item.ref not in self.server.functions:
                return item
            callee = self.server.functions.get(item.ref) if item.kind == "CALL_EXPR" else None
            if callee is not None and self.server.reaches(callee.body, REPLIES):
                return item
        return None

    def _reason_below(self, node: Node) -> tuple[str, Reason] | None:
        """A reason in a function that this very statement calls, with the function's name."""
        if node.kind in ("FOR_STMT", "WHILE_STMT", "DO_STMT", "IF_STMT", "COMPOUND_STMT", "SWITCH_STMT", "CASE_STMT"):
            return None
        for item in node.walk():
            callee = self.server.functions.get(item.ref) if item.kind == "CALL_EXPR" else None
            reached = self._reached(callee.ref, frozenset()) if callee is not None else frozenset()
            found = next((reason for reason in self.reasons if reason.function in reached and not reason.ordinary), None)
            if found is not None and callee is not None:
                return callee.name, found
        return None

    def _reached(self, ref: str, seen: frozenset[str]) -> frozenset[str]:
        """The function and those that it calls."""
        if ref in seen or ref not in self.server.functions:
            return seen
        seen |= {ref}
        for call in self.server.calls[ref]:
            seen = self._reached(call.ref, seen)
        return seen

    def _reason(self, function: Function, node: Node) -> Reason | None:
        """The first reason in this very statement, not in one below it."""
        if node.kind in ("FOR_STMT", "WHILE_STMT", "DO_STMT"):
            return None
        return next((item for item in self.reasons if item.function == function.ref and node.start <= item.at < node.end), None)


def ways(server: Server, findings: Findings, reasons: tuple[Reason, ...]) -> tuple[Way, ...]:
    """The ways of a request from where it is taken on, at most 64. Loops and called functions are not looked into, but for
    whether they answer."""
    request = findings.request
    function = request.function
    body = function.body if request.loop is None else loop_parts(function, request.loop).body
    path = [*enclosing(body, request.path), request.path] if body is not request.path else [request.path]
    nodes: list[Node] = []
    for outer, inner in zip(path[::-1][1:], path[::-1], strict=False):
        if outer.kind == "COMPOUND_STMT":
            at = next((index for index, item in enumerate(outer.children) if item is inner), len(outer.children))
            nodes += outer.children[at + 1 :]
    walk = _Walk(server, findings, reasons)
    end = Span(function.span(body).path, function.unit.source.span(max(body.end - 1, body.start)).line)
    found: dict[Way, None] = {}
    for asked, way in walk.of(function, nodes, ()):
        found[way if way is not None else Way(asked, End.CONSUMED, end)] = None
        if len(found) == _MOST:
            break
    return tuple(found)


def _words(function: Function, node: Node) -> str:
    """An expression as the source has it, on one line."""
    text = re.sub(r"\n# \d+ [^\n]*\n", " ", function.text(node))
    return re.sub(r"\s+", " ", text)[:60]
