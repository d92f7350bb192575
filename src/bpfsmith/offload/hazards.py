"""What a server does that its halves could not do together: threads, processes, sockets with rules of their own."""

from __future__ import annotations

from collections.abc import Iterator

from bpfsmith.csource.tree import Node
from bpfsmith.diagnostic import Diagnostic, Label, Unsupported
from bpfsmith.offload.landmarks import Findings, base_variable
from bpfsmith.offload.program import Call, Server, constant

_THREADS = frozenset(("pthread_create", "thrd_create", "fork", "vfork", "clone", "alarm", "setitimer", "timer_create"))
SOL_SOCKET = 1
_OPTIONS = {25: "SO_BINDTODEVICE", 26: "SO_ATTACH_FILTER", 50: "SO_ATTACH_BPF"}  # asm-generic/socket.h

ASSUMPTIONS = (
    "requests come in on devices that have the server's address, and replies may leave where the request came in",
    "netfilter, socket filters and other programs behind the hook need not see requests that the kernel half answers",
    "only this process is bound to the port (no other with SO_REUSEPORT)",
    "a request that the kernel half answers may overtake those that wait in the socket's queue, as datagrams may",
    "shared variables are changed by one half at a time: the user half has them from the end of a waiting call to the next "
    "one; meanwhile requests are handed over, and wait",
    "each CPU has its own copy of a request's arrays; a server that reads what it has not written this time sees other bytes",
)
"""What an offload rests on, beside what is compared and checked."""


def check(server: Server, findings: Findings) -> None:
    """Unsupported `several-threads`, `connected-socket` or `socket-option` at the call that is in the way."""
    problems = [*_threads(server), *_sockets(server, findings)]
    if problems:
        raise Unsupported(*problems)


def _threads(server: Server) -> Iterator[Diagnostic]:
    for call in server.all_calls():
        if call.name in _THREADS and call.ref not in server.functions:
            yield Diagnostic(
                "several-threads",
                f"{call.name}() lets something run beside the event loop",
                _label(call),
                notes=("the halves take turns at shared variables around calls that wait, of one thread",),
                help="offload a server of one thread and one process",
            )


def _sockets(server: Server, findings: Findings) -> Iterator[Diagnostic]:
    ours = {item.ref for item in _variables(server, findings.request.receive)}
    for call in server.all_calls():
        if call.ref in server.functions:
            continue
        if call.name == "connect":
            theirs = {item.ref for item in _variables(server, call)}
            if not ours or not theirs or ours & theirs:
                yield Diagnostic(
                    "connected-socket", "the socket is connected, and takes requests of one client only", _label(call),
                    help="a kernel half would answer everybody: leave this server as it is",
                )  # fmt: skip
        elif call.name == "setsockopt" and len(call.arguments) == 5:
            level, option = (constant(call.inside, item) for item in call.arguments[1:3])
            if level == SOL_SOCKET and option in _OPTIONS:
                yield Diagnostic(
                    "socket-option", f"{_OPTIONS[option]} decides which requests the server sees", _label(call),
                    help="the kernel half does not look at it: leave this server as it is",
                )  # fmt: skip


def _variables(server: Server, call: Call, depth: int = 0) -> list[Node]:
    """The variables that a call's socket comes from, followed through parameters."""
    variable = base_variable(call.arguments[0]) if call.arguments else None
    if variable is None or depth > 8:
        return []
    for index, parameter in enumerate(call.inside.parameters):
        if parameter.ref == variable.ref:
            found: list[Node] = []
            for caller in server.callers(call.inside.ref):
                outer = Call(caller.inside, caller.node, caller.name, caller.ref)
                if index < len(outer.arguments):
                    at = base_variable(outer.arguments[index])
                    found += [at] if at is not None else []
            return found
    return [variable]


def _label(call: Call) -> Label:
    return Label(call.inside.span(call.node))
