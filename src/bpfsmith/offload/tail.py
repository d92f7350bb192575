"""Is a call the last thing that is done for a request? Then the shared variables are free for the other half while it lasts."""

from __future__ import annotations

import itertools

from bpfsmith.csource.tree import Node, Shape
from bpfsmith.offload.half import KernelHalf
from bpfsmith.offload.landmarks import LOOPS, Findings, enclosing
from bpfsmith.offload.loops import loop_parts
from bpfsmith.offload.program import Call, Server, stripped

_NOTHING = frozenset(("BREAK_STMT", "CONTINUE_STMT", "NULL_STMT"))


def ends_request(server: Server, findings: Findings, half: KernelHalf, call: Call) -> bool:
    """Is nothing shared touched from this reply on until the next request is waited for, the reply's own bytes included?"""
    shared = {item.ref for item in half.states}
    message = call.arguments[1:3]
    return all(_is_private(item, shared) for item in message) and _is_last(server, findings, call, frozenset())


def _is_private(node: Node, shared: set[str]) -> bool:
    """An expression of arrays and numbers of this call's own, and of texts."""
    for item in node.walk():
        if item.kind == "DECL_REF_EXPR":
            shape = item.type.bare.shape if item.type is not None else None
            if item.ref in shared or shape is Shape.POINTER:
                return False
        elif item.kind in ("MEMBER_REF_EXPR", "CALL_EXPR"):
            return False
    return True


def _is_last(server: Server, findings: Findings, call: Call, seen: frozenset[str]) -> bool:
    request, function = findings.request, call.inside
    if function.ref in seen:
        return False
    top = function.body
    if function is request.function and request.loop is not None:
        parts = loop_parts(function, request.loop)
        if parts.step is not None:
            return False
        top = parts.body
    path = [*enclosing(top, call.node), call.node]
    if path[0] is not top:
        return False
    for outer, inner in itertools.pairwise(path):
        if outer.kind in LOOPS:
            return False
        if outer.kind == "COMPOUND_STMT":
            at = next(index for index, item in enumerate(outer.children) if item is inner)
            if not all(_does_nothing(item) for item in outer.children[at + 1 :] if not _is_after_break(outer, at)):
                return False
        elif outer.kind not in ("IF_STMT", "SWITCH_STMT", "CASE_STMT", "DEFAULT_STMT", "CSTYLE_CAST_EXPR", "PAREN_EXPR"):
            return False
    if function is request.function:
        return True
    callers = server.callers(function.ref)
    known = bool(callers) and function.ref not in server.addressed
    return known and all(_is_last(server, findings, item, seen | {function.ref}) for item in callers)


def _is_after_break(outer: Node, at: int) -> bool:
    """What follows in the same block is another case's: the statement after the reply leaves."""
    if at + 1 >= len(outer.children):
        return False
    following = outer.children[at + 1]
    return following.kind in ("BREAK_STMT", "CONTINUE_STMT", "RETURN_STMT") and _does_nothing(following)


def _does_nothing(node: Node) -> bool:
    if node.kind == "RETURN_STMT":
        return all(stripped(item).kind in ("INTEGER_LITERAL", "DECL_REF_EXPR") for item in node.children)
    return node.kind in _NOTHING
