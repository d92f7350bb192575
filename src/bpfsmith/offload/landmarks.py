"""Where a server waits, takes requests and answers: the calls by which one recognises what it does.

Without a word of configuration: bind and socket say which packets, poll, select and epoll are where it waits, recvfrom and its
relatives where a request begins, sendto and its relatives where it is answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from bpfsmith.csource.tree import Function, Node, Shape
from bpfsmith.diagnostic import Diagnostic, Label, Unsupported
from bpfsmith.offload.program import Call, Server, constant, stripped

WAITS = frozenset(
    ("poll", "ppoll", "select", "pselect", "epoll_wait", "epoll_pwait", "epoll_pwait2", "accept", "accept4", "sleep", "usleep",
     "nanosleep", "pause", "sigwait", "sigsuspend", "wait", "waitpid")
)  # fmt: skip
RECEIVES = frozenset(("recvfrom", "recv", "read", "recvmsg", "recvmmsg"))
REPLIES = frozenset(("sendto", "send", "write", "sendmsg", "sendmmsg"))
LOOPS = frozenset(("FOR_STMT", "WHILE_STMT", "DO_STMT"))
SOCK_STREAM, SOCK_DGRAM, SOCK_KIND = 1, 2, 15  # sys/socket.h; the other bits are SOCK_NONBLOCK and SOCK_CLOEXEC


class Transport(StrEnum):
    UDP = "UDP"
    TCP = "TCP"


@dataclass(frozen=True, slots=True)
class Landmark:
    """A call that says what the server does, in words."""

    call: Call
    what: str


@dataclass(frozen=True, slots=True)
class Request:
    """What happens for one request: a loop of `function` (None: its whole body, which is called for each) that holds `path`,
    the receive itself or the call that leads there. `receive` is the receiving call, maybe in another function."""

    function: Function
    loop: Node | None
    path: Node
    receive: Call
    outer: tuple[Node, ...]  # loops around `loop`, the innermost first


@dataclass(frozen=True, slots=True)
class Findings:
    transport: Transport
    port: int | None  # None: not a constant
    landmarks: tuple[Landmark, ...]
    request: Request


def transport(server: Server) -> Transport:
    """UDP or TCP, by socket(2), accept(2) and what getaddrinfo(3) is asked for. Unsupported `no-request-loop`."""
    kinds = set()
    for call in server.all_calls():
        if call.name in ("listen", "accept", "accept4"):
            return Transport.TCP
        if call.name == "socket" and len(call.arguments) == 3:
            kind = constant(call.inside, call.arguments[1])
            if kind is not None:
                kinds.add(kind & SOCK_KIND)
    for function in server.functions.values():
        for node in function.body.walk():
            if node.kind == "BINARY_OPERATOR" and len(node.children) == 2 and node.children[0].name == "ai_socktype":
                kind = constant(function, node.children[1])
                if kind is not None:
                    kinds.add(kind & SOCK_KIND)
    if SOCK_STREAM in kinds and SOCK_DGRAM not in kinds:
        return Transport.TCP
    if any(call.name in ("recvfrom", "recvmsg", "recvmmsg") for call in server.all_calls()) or SOCK_DGRAM in kinds:
        return Transport.UDP
    raise Unsupported(
        Diagnostic(
            "no-request-loop",
            "nothing here looks like a server: no socket that is bound and received from",
            help="name the files that hold its event loop, all of them, or give compile_commands.json",
        )
    )


def port(server: Server) -> int | None:
    """The port that the source names by a constant, in sin_port or for getaddrinfo(3)."""
    for function in server.functions.values():
        for node in function.body.walk():
            if (
                node.kind == "BINARY_OPERATOR"
                and len(node.children) == 2
                and node.children[0].name in ("sin_port", "sin6_port")
            ):
                value = constant(function, node.children[1])
                if value is not None:
                    return int.from_bytes((value & 0xFFFF).to_bytes(2, "little"), "big")
    for call in server.all_calls():
        if call.name == "getaddrinfo" and len(call.arguments) >= 2:
            text = call.inside.text(call.arguments[1]).strip('"')
            if text.isdigit():
                return int(text)
    return None


def enclosing(body: Node, inner: Node) -> list[Node]:
    """The nodes that `inner` lies in, the outermost first, itself not among them."""
    found: list[Node] = []
    node = body
    while node is not inner:
        below = next((child for child in node.children if _holds(child, inner)), None)
        if below is None:
            return found
        found.append(node)
        node = below
    return found


def _holds(node: Node, inner: Node) -> bool:
    return node is inner or any(_holds(child, inner) for child in node.children if child.start <= inner.start)


def find(server: Server, entry: str | None = None) -> Findings:
    """The request of a UDP server. Unsupported `no-request-loop`, `several-receives`."""
    kind = transport(server)
    receives = list(_receives(server, entry))
    if not receives:
        raise Unsupported(
            Diagnostic("no-request-loop", "no call takes a request from a socket",
                       help="recvfrom, recv, read and recvmsg are known")
        )  # fmt: skip
    landmarks = tuple(_landmarks(server))
    requests = [_request(server, call) for call in receives]
    if len(receives) > 1:
        first, second = receives[0], receives[1]
        raise Unsupported(
            Diagnostic(
                "several-receives",
                "requests are taken at more than one place",
                Label(second.inside.span(second.node), "and here"),
                others=(Label(first.inside.span(first.node), "here"),),
                help="name the function that takes them with --entry",
            )
        )
    return Findings(kind, port(server), landmarks, requests[0])


def _receives(server: Server, entry: str | None) -> Iterator[Call]:
    sure = [call for call in server.all_calls() if call.name in RECEIVES - {"read"}]
    maybe = [call for call in server.all_calls() if call.name == "read" and call.ref not in server.functions]
    for call in sure or maybe:
        if call.ref not in server.functions and (entry is None or call.inside.name == entry):
            yield call


def _request(server: Server, receive: Call) -> Request:
    """From the receive up its callers, to the first loop or callback that also answers; a sink answers nowhere."""
    answers = any(call.name in REPLIES for call in server.all_calls())
    function, node = receive.inside, receive.node
    for _ in range(32):
        loops = [item for item in enclosing(function.body, node) if item.kind in LOOPS][::-1]
        for index, loop in enumerate(loops):
            if not answers or server.reaches(loop, REPLIES):
                return Request(function, loop, node, receive, tuple(loops[index + 1 :]))
        callers = server.callers(function.ref)
        called_back = function.ref in server.addressed
        whole = called_back or not callers or (answers and server.reaches(function.body, REPLIES))
        if whole and function.name != "main":
            return Request(function, None, node, receive, ())
        if len(callers) != 1:
            break
        function, node = callers[0].inside, callers[0].node
    raise Unsupported(
        Diagnostic(
            "no-request-loop",
            "it is not clear what happens for one request: no loop around this call also answers",
            Label(receive.inside.span(receive.node), "requests are taken here"),
            help="put receive and reply into one loop, or into one function that is called for each request",
        )
    )


def _landmarks(server: Server) -> Iterator[Landmark]:
    words = {
        "socket": "socket", "bind": "which packets", "getaddrinfo": "which packets", "connect": "connects",
        "listen": "accepts connections",
    }  # fmt: skip
    for call in server.all_calls():
        if call.ref in server.functions:
            continue
        if call.name in words:
            yield Landmark(call, words[call.name])
        elif call.name in WAITS:
            yield Landmark(call, "waits")
        elif call.name in RECEIVES:
            yield Landmark(call, "takes a request")
        elif call.name in REPLIES:
            yield Landmark(call, "answers")


def base_variable(node: Node) -> Node | None:
    """The variable that an lvalue or an address is of: `&peer`, `(struct sockaddr *)&peer`, `buf`, `s->buf[3]`."""
    node = stripped(node)
    while node.kind in ("UNARY_OPERATOR", "ARRAY_SUBSCRIPT_EXPR", "MEMBER_REF_EXPR") and node.children:
        if node.kind == "MEMBER_REF_EXPR":
            inner = stripped(node.children[0])
            if inner.type is not None and inner.type.bare.shape is Shape.POINTER:
                return None
        node = stripped(node.children[0])
    return node if node.kind == "DECL_REF_EXPR" else None
