"""Packets for a binding: messages with random fields, and packets that are nearly messages."""

from __future__ import annotations

import random

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.binding import Binding, Field
from bpfsmith.appnet.wire import payload
from bpfsmith.packet.build import DEFAULT_ROUTE, Route, tcp_packet, udp_packet

ADDRESSES = ("10.0.0.1", "10.0.0.2")


ROUTES = {4: DEFAULT_ROUTE, 6: Route("2001:db8::1", "2001:db8::2")}


def packet(binding: Binding, body: str, data: bytes, options: bytes = b"", seq: int = 1) -> bytes:
    """`data` as the payload of a request or a response; a TCP segment with these options, a multiple of 4 bytes."""
    ports = {"req": (40000, binding.port), "resp": (binding.port, 40000)}[body]
    route = ROUTES[binding.envelope.version]
    if binding.envelope.transport == "udp":
        return udp_packet(data, sport=ports[0], dport=ports[1], route=route)
    made = bytearray(tcp_packet(options + data, sport=ports[0], dport=ports[1], seq=seq, route=route))
    made[binding.envelope.data_offset] += len(options) << 2  # in words, in the upper half of the byte
    return bytes(made)


def some_packet(element: core.Element, binding: Binding, body: str, source: random.Random) -> bytes:
    """Mostly a message whose fields hold what the element compares with, else something that is nearly one."""
    values = {item.name: _some(item, element, source) for item in binding.fields[body] if item.kind != "skip"}
    data = payload(binding, body, values)
    if binding.packets is not None and binding.packets.part:
        index, head, part = source.randrange(4), binding.header_size, binding.packets.part
        values[binding.packets.number] = (binding.packets.first + index) % 256
        data = payload(binding, body, values)
        data = data[:head] + data[head + index * part : head + (index + 1) * part]
    match source.randrange(12):
        case 0:
            data = data[: source.randrange(len(data) + 1)]
        case 1:
            data += source.randbytes(source.randrange(40))
        case 2:
            data = source.randbytes(len(data))
        case _:
            pass
    options = b"\1" * source.choice([0, 0, 4, 12, 40]) if binding.envelope.transport == "tcp" else b""
    made = bytearray(packet(binding, body, data, options, source.randrange(1, 4)))
    match source.randrange(16):
        case 0:
            made[source.randrange(12, len(made))] ^= 1 << source.randrange(8)
        case 1:
            made = made[
                : max(binding.envelope.l4, source.randrange(len(made)))
            ]  # the kernel runs no skb with less than an IP header
        case _:
            pass
    return bytes(made)


def _some(item: Field, element: core.Element, source: random.Random) -> int | bytes:
    body = (*element.init, *element.req, *element.resp)
    constants = [expr.value for expr in facts.expressions(body) if isinstance(expr, core.Const)]
    patterns = [
        arm.pattern.value.value
        for statement in facts.statements(body)
        if isinstance(statement, core.Match)
        for arm in statement.arms
        if isinstance(arm.pattern, core.Equals)
    ]
    known = [*constants, *patterns]
    if item.kind in ("text", "bytes"):
        texts = [value for value in known if isinstance(value, bytes) and len(value) <= item.size]
        free = source.randbytes(source.randrange(item.size + 1))
        text = source.choice([*texts, *texts, b"a", free])
        return text.ljust(item.size, b"\0") if item.kind == "bytes" else text
    if item.names:
        return source.choice([*(value for _, value in item.names), 7])
    low, high = (-(1 << 8 * item.size - 1), 1 << 8 * item.size - 1) if item.signed else (0, 1 << 8 * min(item.size, 4))
    numbers = [value for value in known if isinstance(value, int) and not isinstance(value, bool) and low <= value < high]
    return source.choice([*numbers, *numbers, 0, 1, 2, 3, source.randrange(low, high), high - 1])
