"""The request's part of an event loop as one function of the kernel half.

What comes before the request is taken (waiting, asking which socket is ready) is the user half's; what the loop keeps from one
request to the next is state that both halves share.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

from bpfsmith.csource.text import without_markers
from bpfsmith.csource.tree import Function, Node, Shape
from bpfsmith.diagnostic import Diagnostic, Label, Unsupported
from bpfsmith.offload.declare import Declarer
from bpfsmith.offload.half import FIRST_REASON, RUN, VOID, KernelHalf, State
from bpfsmith.offload.kernel_half import Writer
from bpfsmith.offload.landmarks import LOOPS, RECEIVES, REPLIES, WAITS, Findings, base_variable, enclosing
from bpfsmith.offload.loops import loop_parts
from bpfsmith.offload.program import Server, constant, operator, stripped
from bpfsmith.offload.refusal import DoNotOffload

_EVENT_TYPES = ("fd_set", "struct pollfd", "struct epoll_event", "struct timeval", "struct timespec")
_SOCKET_CALLS = RECEIVES | REPLIES | WAITS | {"bind", "listen", "connect", "setsockopt", "epoll_ctl", "close"}
_OPENERS = frozenset(("socket", "epoll_create", "epoll_create1", "accept", "accept4"))
_WRITERS = frozenset(("memcpy", "memset", "memmove", "strcpy", "strncpy", "snprintf", "sprintf", "bzero", "stpcpy"))


@dataclass(slots=True)
class Region:
    """Writes the function `request`."""

    server: Server
    findings: Findings
    writer: Writer
    buffers: list[str] = field(default_factory=list)
    hoisted: list[str] = field(default_factory=list)

    @property
    def function(self) -> Function:
        return self.findings.request.function

    def text(self) -> str:
        request, writer = self.findings.request, self.writer
        writer.function, writer.in_region = self.function, True
        writer.active.append(self.function.ref)
        self._classify()
        path = {id(item) for item in enclosing(self.function.body, request.path)} | {id(request.path)}
        body = self._on_path(request.function.body, path) if request.loop is None else self._loop(request.loop, path)
        self._check_outside()
        self._check_worthwhile()
        hoisted = "".join(f"\t{line}\n" for line in self.hoisted)
        return f"BS_INLINE void request(bs_packet *bs_ctx, bs_t {RUN})\n{{\n{hoisted}{textwrap.indent(body, chr(9))}\n}}\n"

    def _loop(self, loop: Node, path: set[int]) -> str:
        writer = self.writer
        parts = loop_parts(self.function, loop)
        lines = []
        condition = parts.condition
        asked = condition is not None and loop.kind != "DO_STMT" and constant(self.function, condition) is None
        if asked and condition is not None and (id(condition) in path or not self._is_machinery(condition)):
            lines.append(f"if (!({writer.expr(condition)}))\n\t{writer.leave(condition, 'the event loop ends here')}")
        lines.append(self._on_path(parts.body, path))
        if parts.step is not None and not self._is_machinery(parts.step):
            if not self._touches_state(parts.step):  # it prepares the next turn
                return "\n".join([f"{writer.expr(parts.step)};", *lines])
            self._refuse(parts.step, "work-outside-request", "this is done after each request, in the head of the loop")
        return "\n".join(lines)

    # --- statements ---------------------------------------------------------------------------------------------------
    def _on_path(self, node: Node, path: set[int]) -> str:
        """A statement in which the request is taken, or which comes after that in the same block."""
        writer = self.writer
        if id(node) not in path or node.kind in LOOPS:
            return writer.statement(node)
        if node.kind == "COMPOUND_STMT":
            before = True
            lines = []
            for child in node.children:
                if id(child) in path:
                    before = False
                    lines.append(self._on_path(child, path))
                elif before:
                    lines.append(self._before(child))
                else:
                    lines.append("" if self._only_machinery(child) else writer.statement(child))
            inside = "\n".join(line for line in writer.sequence(node, lines).split("\n") if line.strip())
            return f"{{\n{textwrap.indent(inside, chr(9))}\n}}"
        if node.kind == "IF_STMT":
            condition, *branches = node.children
            if id(condition) in path:
                return writer.statement(node)
            taken = next(item for item in branches if id(item) in path)
            if self._is_machinery(condition):
                return self._on_path(taken, path)
            sign = "" if taken is branches[0] else "!"
            return f"if ({sign}({writer.expr(condition)}))\n{{\n{textwrap.indent(self._on_path(taken, path), chr(9))}\n}}"
        return writer.statement(node)

    def _before(self, node: Node) -> str:
        """A statement before the request is taken."""
        if self._is_machinery(node):
            for item in node.walk():
                if item.kind == "VAR_DECL":
                    self.writer.machinery.add(item.ref)
                variable = self._assigned(item)
                if variable is not None:
                    self.writer.machinery.add(variable.ref)
            return ""
        text = self.writer.statement(node)
        if self.findings.request.loop is not None and self._touches_state(node):
            self._refuse(
                node, "work-before-receive",
                "this changes what later requests see before the next request is there, and the user half has done so when the "
                "kernel half takes a request",
            )  # fmt: skip
        return text

    def _assigned(self, node: Node) -> Node | None:
        writes = node.kind == "COMPOUND_ASSIGNMENT_OPERATOR" or (
            node.kind in ("BINARY_OPERATOR", "UNARY_OPERATOR")
            and node.children
            and operator(self.function, node) in ("=", "++", "--")
        )
        return base_variable(node.children[0]) if writes else None

    def _touches_state(self, node: Node) -> bool:
        for item in node.walk():
            variable = self._assigned(item)
            if variable is not None and variable.ref not in self.writer.private | dict.fromkeys(self.writer.plain):
                return True
            if item.kind == "CALL_EXPR" and self._calls_effect(item, frozenset()):
                return True
        return False

    def _is_machinery(self, node: Node) -> bool:
        """Does it wait, or depend on what waiting gave?"""
        for item in node.walk():
            if item.kind == "CALL_EXPR" and item.name in WAITS and item.ref not in self.server.functions:
                return True
            if item.kind == "DECL_REF_EXPR" and item.ref in self.writer.machinery:
                return True
            if item.kind in ("VAR_DECL", "DECL_REF_EXPR") and self._event_type(item):
                return True
        return False

    def _only_machinery(self, node: Node) -> bool:
        variable = self._assigned(node)
        return variable is not None and (variable.ref in self.writer.machinery or self._event_type(variable))

    def _event_type(self, node: Node) -> bool:
        ctype = node.type
        while ctype is not None:
            if ctype.name in _EVENT_TYPES or ctype.record in _EVENT_TYPES:
                return True
            ctype = ctype.target
        return False

    # --- variables of the loop ----------------------------------------------------------------------------------------
    def _classify(self) -> None:
        """What becomes of the variables that are declared outside the request's part."""
        request, writer = self.findings.request, self.writer
        for parameter in self.function.parameters:
            writer.machinery.add(parameter.ref)
        for call in self.server.calls[self.function.ref]:
            if call.name in _SOCKET_CALLS and call.ref not in self.server.functions and call.arguments:
                variable = stripped(call.arguments[0])
                if variable.kind == "DECL_REF_EXPR" and variable.ref not in self.server.variables:
                    writer.machinery.add(variable.ref)
        if request.loop is None:
            writer.reads_client = self._reads_client()
            return
        parts = loop_parts(self.function, request.loop)
        inside = {item.ref for item in parts.body.walk() if item.kind == "VAR_DECL"}
        in_head = {item.ref for item in parts.first.walk()} if parts.first is not None else set()
        used = [item for item in request.loop.walk() if item.kind == "DECL_REF_EXPR"]
        taken = self._request_variables()
        writer.reads_client = self._reads_client()
        moved = writer.moved(self.function.body)
        for item in self.function.body.walk():
            if item.kind != "VAR_DECL" or item.ref in inside or item.extra == "static" or item.type is None:
                continue
            uses = [node for node in used if node.ref == item.ref]
            if not uses or item.ref in writer.machinery:
                continue
            if self._event_type(item) or self._is_socket(item):
                writer.machinery.add(item.ref)
                continue
            shape = item.type.bare.shape
            if item.ref in taken and not self._forgets(item, request.loop):
                span = self.function.unit.source.span(item.at)
                path = self.function.unit.source.path
                writer.add_state(item.ref, item.name, item.type, span, True, self.function.name, path)
            elif item.ref in taken or (shape is Shape.ARRAY and self._is_buffer(item, uses)):
                writer.to_memory(self.function, item.name, item.ref, item.type)
                if item.ref not in taken:
                    self.buffers.append(item.name)
            elif shape in (Shape.INTEGER, Shape.POINTER) and self._assigned_first(item.ref, request.loop):
                if item.ref in moved:
                    writer.to_memory(self.function, item.name, item.ref, item.type)
                else:
                    writer.plain.add(item.ref)
                    self.hoisted.append(f"{writer.types.declare(item.type, item.name)} = 0;")
            elif item.ref in in_head:
                self._refuse(item, "work-outside-request", f"the head of the loop keeps {item.name} from request to request")
            else:
                span = self.function.unit.source.span(item.at)
                path = self.function.unit.source.path
                writer.add_state(item.ref, item.name, item.type, span, True, self.function.name, path)

    def _forgets(self, item: Node, loop: Node) -> bool:
        """Is nothing of an earlier request seen in what this one was received into? So it is with the client's address, with a
        buffer that is only sent back, and with text that is ended where the request ends. Else a short request is read together
        with the rest of the one before, and the buffer is state."""
        receive = self.findings.request.receive
        buffer = base_variable(receive.arguments[1]) if receive.inside is self.function and len(receive.arguments) > 1 else None
        if buffer is not None and buffer.ref != item.ref:
            return True
        if buffer is None:
            return (
                item.type is None or item.type.bare.shape is not Shape.RECORD or item.type.bare.record == "struct sockaddr_in"
            )
        if item.type is None or item.type.bare.shape is not Shape.ARRAY:
            return False
        calls = [node for node in loop.walk() if node.kind == "CALL_EXPR" and node.name in RECEIVES | {"sendto"}]
        passed = {id(inner) for call in calls for argument in call.children[1:] for inner in argument.walk()}
        uses = [node for node in loop.walk() if node.kind == "DECL_REF_EXPR" and node.ref == item.ref]
        ended = any(
            node.kind == "BINARY_OPERATOR"
            and len(node.children) == 2
            and operator(self.function, node) == "="
            and stripped(node.children[0]).kind == "ARRAY_SUBSCRIPT_EXPR"
            and (base := base_variable(node.children[0])) is not None
            and base.ref == item.ref
            and constant(self.function, node.children[1]) == 0
            for node in loop.walk()
        )
        return ended or all(id(node) in passed for node in uses)

    def _request_variables(self) -> set[str]:
        """What the receiving call fills in: the buffer, the client's address and its length."""
        request = self.findings.request
        found = set()
        calls = [request.receive.node] if request.receive.inside is self.function else []
        if request.path is not request.receive.node:
            calls.append(request.path)
        for call in calls:
            for argument in call.children[1:]:
                variable = base_variable(argument)
                shape = variable.type.bare.shape if variable is not None and variable.type is not None else None
                address = stripped(argument).kind == "UNARY_OPERATOR"
                if variable is not None and (address or shape is Shape.ARRAY):
                    found.add(variable.ref)
        return found

    def _reads_client(self) -> bool:
        """Is the client's address looked at, rather than only handed on to the reply?"""
        receive = self.findings.request.receive
        if receive.name != "recvfrom":
            return False
        client = base_variable(receive.arguments[4])
        if client is None:
            return False
        passed = {
            id(item)
            for call in self.server.calls[self.function.ref]
            if call.name == "sendto" or call.node is receive.node
            for argument in call.arguments
            for item in argument.walk()
        }
        uses = (item for item in receive.inside.body.walk() if item.kind == "DECL_REF_EXPR" and item.ref == client.ref)
        return receive.inside is not self.function or any(id(item) not in passed for item in uses)

    def _is_socket(self, item: Node) -> bool:
        """A number that a call which opens sockets gave."""
        calls = [node for node in item.walk() if node.kind == "CALL_EXPR"]
        return any(node.name in _OPENERS for node in calls)

    def _is_buffer(self, item: Node, uses: list[Node]) -> bool:
        """An array of bytes: text that is put together for one reply."""
        target = item.type.bare.target if item.type else None
        return target is not None and target.bare.shape is Shape.INTEGER and target.size == 1 and bool(uses)

    def _assigned_first(self, ref: str, loop: Node) -> bool:
        """Is the first thing that each turn does with the variable to assign it, whatever way the turn takes?"""
        parts = loop_parts(self.function, loop)
        if parts.condition is not None and loop.kind != "DO_STMT":
            found = self._first_use(ref, parts.condition)
            if found is not None:
                return found
        return bool(self._first_use(ref, parts.body))

    def _first_use(self, ref: str, node: Node) -> bool | None:
        """True: assigned first on every way; False: maybe used before; None: not mentioned."""
        if node.kind == "DECL_REF_EXPR":
            return False if node.ref == ref else None
        order = node.children
        if node.kind == "BINARY_OPERATOR" and len(order) == 2 and operator(self.function, node) == "=":
            left = stripped(order[0])
            if left.kind == "DECL_REF_EXPR" and left.ref == ref:
                right = self._first_use(ref, order[1])
                return True if right is None else right
        if node.kind in ("IF_STMT", "CONDITIONAL_OPERATOR", *LOOPS, "SWITCH_STMT") or (
            node.kind == "BINARY_OPERATOR" and len(order) == 2 and operator(self.function, node) in ("&&", "||")
        ):
            first = self._first_use(ref, order[0]) if order and node.kind not in ("FOR_STMT", "DO_STMT") else None
            if first is not None:
                return first
            rest = [self._first_use(ref, item) for item in order]
            mentioned = [item for item in rest if item is not None]
            if not mentioned:
                return None
            # Assigned on one way only: that is right where nothing after it uses the variable, which is not looked at.
            return all(rest) and node.kind == "IF_STMT" and len(order) == 3
        for child in order:
            found = self._first_use(ref, child)
            if found is not None:
                return found
        return None

    def _check_worthwhile(self) -> None:
        """Where every request is handed over, there is nothing to split."""
        request, writer = self.findings.request, self.writer
        body = request.function.body if request.loop is None else loop_parts(self.function, request.loop).body
        if not writer.hands_over(body):
            return
        reason = writer.first_reason(next((item for item in body.children if writer.hands_over(item)), body))
        raise DoNotOffload(
            Diagnostic(
                "do-not-offload", "every request needs what only the process can do: do not offload",
                Label(reason.span, "no request gets past this"), notes=(reason.why,), help=reason.help,
            )
        )  # fmt: skip

    # --- what the loop does beside ------------------------------------------------------------------------------------
    def _check_outside(self) -> None:
        """Work of the event loop that is done once for each request, or each time it wakes up, must not be lost."""
        request = self.findings.request
        for loop in request.outer:
            found = self._effect(loop, request.loop)
            if found is not None:
                self._refuse(found, "work-outside-request", "the event loop does this each time it wakes up, not for a request")
        if request.loop is None:
            for call in self.server.callers(self.function.ref):
                for loop in (item for item in enclosing(call.inside.body, call.node) if item.kind in LOOPS):
                    found = self._effect_in(call.inside, loop, call.node)
                    if found is not None:
                        self._refuse(found, "work-outside-request", "the event loop does this each time it wakes up",
                                     call.inside)  # fmt: skip

    def _effect(self, node: Node, without: Node | None) -> Node | None:
        return self._effect_in(self.function, node, without)

    def _effect_in(self, function: Function, node: Node, without: Node | None) -> Node | None:
        for child in node.children:
            if child is without:
                continue
            if self._is_effect(function, child):
                return child
            found = self._effect_in(function, child, without)
            if found is not None:
                return found
        return None

    def _is_effect(self, function: Function, node: Node) -> bool:
        if node.kind == "CALL_EXPR":
            callee = self.server.functions.get(node.ref)
            if callee is not None and callee.ref != self.function.ref:
                return self._calls_effect(node, frozenset())
            return callee is None and node.name in REPLIES
        return self._writes_global(function, node)

    def _writes_global(self, function: Function, node: Node) -> bool:
        writes = node.kind == "COMPOUND_ASSIGNMENT_OPERATOR" or (
            node.kind in ("BINARY_OPERATOR", "UNARY_OPERATOR") and node.children
            and operator(function, node) in ("=", "++", "--")
        )  # fmt: skip
        if not writes:
            return False
        variable = base_variable(node.children[0])
        return variable is None or variable.ref in self.server.variables

    def _calls_effect(self, call: Node, seen: frozenset[str]) -> bool:
        """Does the called function, or one that it calls, write a variable that outlives it?"""
        callee = self.server.functions.get(call.ref)
        if callee is None or callee.ref in seen:
            return False
        below = seen | {callee.ref}
        return any(
            self._calls_effect(item, below) if item.kind == "CALL_EXPR" else self._writes_global(callee, item)
            for item in callee.body.walk()
        )

    def _refuse(self, node: Node, ident: str, why: str, function: Function | None = None) -> None:
        function = function or self.function
        raise Unsupported(
            Diagnostic(ident, "the loop does more than answer requests", Label(function.span(node), "this"), notes=(why,),
                       help="do it where the request is handled, or in a handler of its own (a timer)")
        )  # fmt: skip


def kernel_half(server: Server, findings: Findings, *, cpus: int, pages: int, longest: int = 1472) -> KernelHalf:
    """The kernel half of a UDP server. `longest` is the payload of the largest request and reply that it handles, in bytes;
    `pages` the size of the shared memory. Unsupported where the event loop cannot be taken apart."""
    writer = Writer(server, findings, Declarer(server))
    region = Region(server, findings, writer)
    body = region.text()
    states = tuple(
        State(name, ctype, span, index, ref in writer.written, promoted, function, unit, ref)
        for ref, (index, name, ctype, span, promoted, function, unit) in writer.states.items()
    )
    accessors = []
    for state in states:
        if state.type.shape is Shape.FUNCTION:
            continue
        typed = writer.types.declare(state.type, f"T_{state.name}")
        accessors.append(f"typedef {typed};\n#define S_{state.name} (*(T_{state.name} __arena *)CONFIG->state[{state.index}])")
    literals = "".join(f"\tchar {name}[{size}];\n" for name, size in writer.literals.values()) or "\tchar none[8];\n"
    values = ", ".join(f".{name} = {without_markers(text)}" for text, (name, _) in writer.literals.items())
    members = "".join(f"\t{text} __attribute__((aligned(8)));\n" for text in writer.locals.values()) or "\tlong none;\n"
    newline = "\n"
    numbered = "".join(
        f" *   {FIRST_REASON + at}: {item.span.path}:{item.span.line}: {item.why}\n" for at, item in enumerate(writer.reasons)
    )
    files = ", ".join(unit.source.path for unit in server.units)
    source = f"""\
/*
 * The kernel half of {files}: answers requests where they come in, or hands them over to the user half.
 *
 * Made by bpfsmith; a change here is lost. Requests are handed over from these lines on:
{numbered or " *   (none)"}{newline if not numbered else ""} */
#define BS_STATES {max(len(states), 1)}
#define BS_REASONS {FIRST_REASON + len(writer.reasons)}
#define BS_CPUS {cpus}
#define BS_LONGEST {longest}
#ifndef BS_PAGES
#define BS_PAGES {pages}
#endif
#define __arena __attribute__((address_space(1)))

#include "offload_shared.h"

{newline.join(writer.types.definitions)}

/* The texts of the server's source. */
struct bs_literals {{
{literals}}};

/* What the server keeps on its stack for a request, where that is more than a number. */
struct bs_locals {{
{members}}};

#include "offload_kernel.h"

struct bs_area __arena bs_area = {{ .literals = {{ {values or '.none = ""'} }} }};

/* Variables that both halves use. */
{newline.join(accessors)}

{newline.join(writer.prototypes)}
/* {findings.request.function.span(findings.request.loop)} */
{body}
SEC(BS_SECTION) int offload(bs_packet *bs_ctx)
{{
	bs_t {RUN} = bs_begin(bs_ctx);

	if (!{RUN})
		return BS_PASS;
	if (!{RUN}->over)
		request(bs_ctx, {RUN});
	return bs_finish(bs_ctx, {RUN});
}}

char _license[] SEC("license") = "GPL";
"""
    return KernelHalf(without_markers(source), states, tuple(writer.reasons), tuple(region.buffers), writer.reads_client)


__all__ = ["VOID", "Region", "kernel_half"]
