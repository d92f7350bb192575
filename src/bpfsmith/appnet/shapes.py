"""How values lie in memory, in maps and in terms: the one place that knows sizes, alignment and where the parts of a value are.

    text of at most N bytes:  [length u8][bytes, zeros behind them] in a multiple of 8 bytes        (N <= 247)
    pair <T, U>:              T, padding of zeros, U, padding of zeros, as in C

Equal values have equal bytes, so that they can be keys. A term of a text or a pair is its memory, little endian.
"""

from __future__ import annotations

from bpfsmith.appnet.core import BOOL, FLOAT, INSTANT, INT, UINT, Type

WIDTHS = {INT: 32, UINT: 32, FLOAT: 64, INSTANT: 64, BOOL: 0}
SIZES = {INT: 4, UINT: 4, FLOAT: 8, INSTANT: 8, BOOL: 1}
"""Bytes that a plain value takes in memory."""

DEFAULT_TEXT = 31
"""Bytes that a text of the state may have, unless `@maxlen(N)` says otherwise."""
LONGEST_TEXT = 247


def size_of(kind: Type) -> int:
    """Bytes that a value takes in memory; of a Vec, what one item takes."""
    match kind.name:
        case "string":
            return (kind.size + 1 + 7) // 8 * 8
        case "name":
            return 4
        case "Pair":
            last = kind.args[-1]
            return _rounded(offsets(kind)[-1] + size_of(last), align_of(kind))
        case "Vec":
            return size_of(kind.args[0])
        case _:
            return SIZES[kind]


def align_of(kind: Type) -> int:
    match kind.name:
        case "string":
            return 8
        case "Pair":
            return max(map(align_of, kind.args))
        case _:
            return size_of(kind)


def offsets(pair: Type) -> tuple[int, ...]:
    """Where the parts of a pair begin."""
    out, at = [], 0
    for part in pair.args:
        at = _rounded(at, align_of(part))
        out.append(at)
        at += size_of(part)
    return tuple(out)


def width_of(kind: Type) -> int:
    """Bits of the term of a value; 0 for a bool, which is a condition."""
    return WIDTHS.get(kind, 8 * size_of(kind))


def is_block(kind: Type) -> bool:
    """Is a value more than one word: a text or a pair?"""
    return kind.name in ("string", "Pair")


def text_bytes(text: bytes, size: int) -> bytes:
    """A text as it lies in `size` bytes of memory."""
    return (bytes([len(text)]) + text).ljust(size, b"\0")


def raw_bytes(kind: Type, value: object) -> bytes:
    """A value of the interpreter's as it lies in memory."""
    match kind.name:
        case "string":
            assert isinstance(value, bytes)
            return text_bytes(value, size_of(kind))
        case "Pair":
            assert isinstance(value, tuple)
            out = bytearray(size_of(kind))
            for at, part, item in zip(offsets(kind), kind.args, value, strict=True):
                out[at : at + size_of(part)] = raw_bytes(part, item)
            return bytes(out)
        case _:
            assert isinstance(value, int)
            size = size_of(kind)
            return (int(value) & (1 << 8 * size) - 1).to_bytes(size, "little")


def value_of(kind: Type, raw: bytes) -> object:
    """Memory as a value of the interpreter's."""
    match kind.name:
        case "string":
            return raw[1 : 1 + raw[0]]
        case "Pair":
            parts = zip(offsets(kind), kind.args, strict=True)
            return tuple(value_of(part, raw[at : at + size_of(part)]) for at, part in parts)
        case "bool":
            return bool(raw[0])
        case _:
            return int.from_bytes(raw, "little", signed=kind == INT)


def _rounded(at: int, to: int) -> int:
    return (at + to - 1) // to * to
