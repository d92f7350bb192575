"""Loops taken apart: clang's tree leaves out what is missing in a head, the semicolons say what stands where."""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.csource.tree import Function, Node


@dataclass(frozen=True, slots=True)
class Parts:
    """A loop taken apart; a part that is not there is None."""

    first: Node | None
    condition: Node | None
    step: Node | None
    body: Node


def loop_parts(function: Function, node: Node) -> Parts:
    """What stands where in the head of a loop; clang's tree leaves out what is missing, the semicolons say where."""
    if node.kind == "WHILE_STMT":
        return Parts(None, node.children[0], None, node.children[-1])
    if node.kind == "DO_STMT":
        return Parts(None, node.children[-1], None, node.children[0])
    *head, body = node.children
    text = function.unit.source.text
    semicolons, depth = [], 0
    for at in range(node.start, body.start):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if text[at] == ";" and depth == 1:
            semicolons.append(at)
    first = next((item for item in head if item.start < semicolons[0]), None)
    condition = next((item for item in head if semicolons[0] < item.start < semicolons[1]), None)
    step = next((item for item in head if item.start > semicolons[1]), None)
    return Parts(first, condition, step, body)
