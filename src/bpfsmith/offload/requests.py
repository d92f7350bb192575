"""Requests to try a server with: a workload's own, what the server's texts suggest, and what nobody would send."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.offload.program import Server
from bpfsmith.packet.pcap import frames, is_capture

_WORDS = (
    *(b"a", b"b", b"key", b"key1", b"key2", b"0", b"1", b"7", b"42", b"1000", b"99999999999999999999", b"-1", b"0x1f"),
    *(b"x" * 31, b"x" * 32, b"y" * 63, b"z" * 64, b"w" * 200),
)
_ENDS = (b"", b"", b"", b"\n", b"\r\n", b" ", b"\0")
LONGEST = 1472  # a UDP payload that fits into an Ethernet frame


def read_workload(path: str) -> tuple[bytes, ...]:
    """The requests of a file: a capture (pcap) of UDP, or one request a line, in hex or as text with the escapes of C.

    InputError `malformed-workload`, `unreadable-file`.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            Diagnostic("unreadable-file", f"{path} cannot be read: {error.strerror}", help="check the path")
        ) from error
    if is_capture(data):
        try:
            found = tuple(item for frame in frames(data) if (item := _udp_payload(frame)) is not None)
        except ValueError as error:
            raise InputError(
                Diagnostic("malformed-workload", f"{path} cannot be read: {error}", help="give a pcap of Ethernet frames")
            ) from error
    else:
        lines = [line for line in data.split(b"\n") if line.strip() and not line.startswith(b"#")]
        in_hex = all(re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", line.strip()) for line in lines)
        found = tuple(bytes.fromhex(line.decode()) if in_hex else _unescaped(line) for line in lines)
    if not found:
        raise InputError(
            Diagnostic("malformed-workload", f"{path} holds no requests", help="give a pcap of UDP requests, or one a line")
        )
    return found


def _unescaped(line: bytes) -> bytes:
    return line.decode("latin-1").encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1", "replace")


def _udp_payload(frame: bytes) -> bytes | None:
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    start = 14 + 4 * (frame[14] & 15)
    length = int.from_bytes(frame[start + 4 : start + 6], "big")
    return frame[start + 8 : start + length]


def texts(server: Server) -> tuple[bytes, ...]:
    """The texts and characters that the server's functions and tables mention."""
    found: dict[bytes, None] = {}
    places = [(item.unit, item.body) for item in server.functions.values()]
    places += [(item.unit, item.initializer) for item in server.variables.values() if item.initializer is not None]
    for unit, below in places:
        for node in below.walk():
            if node.kind in ("STRING_LITERAL", "CHARACTER_LITERAL"):
                text = unit.source.text[node.start : node.end][1:-1].replace('"', "")
                if "%" not in text and 0 < len(text) <= 40:
                    found[_unescaped(text.encode("latin-1", "replace"))] = None
    return tuple(found)


def requests(count: int, seeds: Sequence[bytes], words: Sequence[bytes], seed: int = 1) -> Iterator[bytes]:
    """`count` requests, the same for the same arguments: seeds as they are and changed, words put together, noise."""
    draw = random.Random(seed)
    vocabulary = [*words, *_WORDS]
    recent: list[bytes] = list(seeds[:64])
    for at in range(count):
        kind = draw.random()
        if at < len(seeds) and at < count // 4:
            request = seeds[at]
        elif seeds and kind < 0.35:
            request = draw.choice(seeds)
        elif recent and kind < 0.6:
            request = _changed(draw, draw.choice(recent))
        elif kind < 0.93:
            request = _sentence(draw, words or vocabulary, vocabulary)
        elif kind < 0.97:
            request = draw.randbytes(draw.choice((0, 1, 2, 3, 4, 8, 12, 13, 31, 64, 255, 256, 257)))
        else:
            request = draw.randbytes(draw.choice((511, 512, 513, 1023, 1024, 1025, 1471, 1472)))
        request = request[:LONGEST]
        if len(recent) < 64:
            recent.append(request)
        else:
            recent[draw.randrange(64)] = request
        yield request


def _sentence(draw: random.Random, heads: Sequence[bytes], vocabulary: Sequence[bytes]) -> bytes:
    """A word that the server knows, and a few others after it."""
    out = draw.choice(heads)
    for _ in range(draw.choice((0, 1, 1, 2, 2, 2, 3))):
        if not out.endswith((b" ", b":", b"/", b"?", b"=")):
            out += draw.choice((b" ", b" ", b" ", b"", b"  ", b":"))
        out += draw.choice(vocabulary) if draw.random() < 0.2 else draw.choice(_WORDS[:10])
    return out + draw.choice(_ENDS)


def _changed(draw: random.Random, request: bytes) -> bytes:
    data = bytearray(request)
    for _ in range(draw.choice((1, 1, 2, 4))):
        kind = draw.randrange(5)
        at = draw.randrange(len(data) + 1)
        if kind == 0 and data:
            data[at % len(data)] = draw.randrange(256)
        elif kind == 1 and data:
            data[at % len(data)] ^= 1 << draw.randrange(8)
        elif kind == 2:
            data[at:at] = draw.randbytes(draw.choice((1, 2, 8)))
        elif kind == 3:
            del data[at : at + draw.choice((1, 2, 8))]
        else:
            data += data[:at]
    return bytes(data)
