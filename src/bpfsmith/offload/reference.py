"""The server's own handler as one flat BPF function, which the kernel half is proved against.

The source stays as it is, but for a jump over what is done before the first request is waited for, calls that have another
meaning here (runtime/offload_reference.h), and what the event loop keeps from request to request, which becomes static: at a
request it may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfsmith.csource.tree import Function, Node, Shape, Variable
from bpfsmith.offload.forms import ALIASES
from bpfsmith.offload.half import KernelHalf
from bpfsmith.offload.landmarks import WAITS, Findings, enclosing
from bpfsmith.offload.program import Server

ENTRY = "reference"
CALLS = frozenset(
    """recvfrom recv read sendto memcmp memcpy memset strlen strncmp strcmp strchr memchr isdigit isupper islower isalpha
    isspace toupper tolower htons ntohs htonl ntohl""".split()
)
"""The calls that runtime/offload_reference.h says the meaning of; others are the process's."""


_ENTRY = """\
__attribute__((section(BS_REF_SECTION), used, flatten)) int reference(struct bs_ref_context *packet)
{{
\tbs_ref_begin(packet);
\t{call};
\tbs_ref_end();
\treturn 0;
}}
"""


class NoReference(Exception):
    """The server cannot be made one flat function: says why."""


def reference(server: Server, findings: Findings, half: KernelHalf) -> str:
    """C text for the BPF target. Raises NoReference."""
    if len(server.units) != 1:
        raise NoReference("the server has several files, which are compiled apart")
    unit, request = server.units[0], findings.request
    function = request.function
    edits: dict[tuple[int, int], str] = {}
    for item in _variables(server):
        edits[item.start, item.start] = "__attribute__((used)) "
    promoted = {state.ref for state in half.states if state.promoted}
    for node in function.body.walk():
        if node.kind == "DECL_STMT" and any(child.ref in promoted for child in node.children):
            edits |= _kept(function, node)
    for call in server.all_calls():
        if call.ref not in server.functions and call.name and call.node.children:
            edits |= _called(call.inside, call.node)
    if request.loop is not None:
        at = _label(function, request.loop, request.receive.node if request.receive.inside is function else request.path)
        edits[at, at] = " bs_ref_request:; "
        edits[function.body.start + 1, function.body.start + 1] = " goto bs_ref_request; "
    for each in server.functions.values():
        edits[each.start, each.start] = "__attribute__((always_inline)) " + edits.get((each.start, each.start), "")
    text = unit.source.text
    for (start, end), new in sorted(edits.items(), key=lambda item: item[0], reverse=True):
        text = text[:start] + new + text[end:]
    arguments = ", ".join("0" for _ in function.parameters)
    return f'#include "offload_reference.h"\n{text}\n{_ENTRY.format(call=f"{function.name}({arguments})")}'


def _variables(server: Server) -> Iterator[Variable]:
    """Variables with room of their own, the first of each declaration."""
    seen = set()
    for item in server.variables.values():
        if not item.is_extern and item.start not in seen:
            seen.add(item.start)
            yield item


def _kept(function: Function, node: Node) -> dict[tuple[int, int], str]:
    """A declaration whose variables outlive a request, without what they begin with."""
    text = function.unit.source.text
    out = {(node.start, node.start): "static __attribute__((used)) "}
    for child in node.children:
        values = [item for item in child.children if item.kind != "TYPE_REF"]
        declared = text[child.at : child.end]
        equals = re.search(r"=(?!=)", declared)
        if values and equals is not None:
            if child.type is not None and child.type.bare.shape is Shape.ARRAY and "[]" in declared[: equals.start()]:
                raise NoReference(f"the size of {child.name} comes from what it begins with")
            out[child.at + equals.start(), child.end] = ""
    return out


def _called(function: Function, node: Node) -> dict[tuple[int, int], str]:
    """A call that means something else here: `name(..)` becomes `bs_ref_name(..)`, or ends the run."""
    callee = node.children[0]
    if callee.kind != "DECL_REF_EXPR" or node.name.startswith("__builtin"):
        return {}
    name = ALIASES.get(node.name, node.name)
    if name.startswith("__builtin"):
        return {(callee.start, callee.end): name}
    if name in WAITS:
        word = f"bs_ref_waits({node.name}"
    elif name in CALLS:
        return {(callee.start, callee.end): f"bs_ref_{name}"}
    else:
        word = f"bs_ref_elsewhere({node.name}"
    text = function.unit.source.text
    opening = text.index("(", callee.end)
    comma = ", " if node.children[1:] else ""
    return {(callee.start, opening + 1): word + comma}


def _label(function: Function, loop: Node, node: Node) -> int:
    """Where a request begins: in the innermost block that takes it, or at the loop whose condition does."""
    blocks = [item for item in enclosing(function.body, node) if item.kind == "COMPOUND_STMT"]
    if not blocks:
        raise NoReference("the request is taken outside a block")
    return blocks[-1].start + 1 if blocks[-1].start >= loop.start else loop.start
