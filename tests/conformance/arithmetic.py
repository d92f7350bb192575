"""What instructions compute, written down in plain Python from RFC 9669, sections 4 and 5.

Nothing here comes from `semantics.eval`: the two are each other's witness. Signs and conditions are those of the kernel's text.
"""

from __future__ import annotations

import operator
from collections.abc import Callable


def signed(width: int, value: int) -> int:
    value %= 1 << width
    return value - (1 << width) if value >= 1 << (width - 1) else value


def _divide(a: int, b: int) -> int:
    """Toward zero; 0 by zero."""
    return abs(a) // abs(b) * (-1 if (a < 0) != (b < 0) else 1) if b else 0


def _modulo(a: int, b: int) -> int:
    """With the sign of the dividend; the dividend by zero."""
    return a - b * _divide(a, b)


_UNSIGNED: dict[str, Callable[[int, int], int]] = {
    "": lambda a, b: b,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _modulo,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
_SIGNED: dict[str, Callable[[int, int], int]] = {"s/": _divide, "s%": _modulo}
_SHIFTS: dict[str, Callable[[int, int], int]] = {"<<": operator.lshift, ">>": operator.rshift, "s>>": operator.rshift}


def compute(sign: str, width: int, a: int, b: int) -> int:
    """`a sign= b` on registers: both are cut to `width` bits, and so is the result."""
    size = 1 << width
    if sign in _SIGNED:
        return _SIGNED[sign](signed(width, a), signed(width, b)) % size
    if sign in _SHIFTS:
        return _SHIFTS[sign](signed(width, a) if sign == "s>>" else a % size, b % width) % size
    return _UNSIGNED[sign](a % size, b % size) % size


_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "&": lambda a, b: a & b != 0,
}  # fmt: skip


def holds(sign: str, width: int, a: int, b: int) -> bool:
    """`if a sign b` on registers cut to `width` bits."""
    if sign.startswith("s"):
        return _COMPARISONS[sign[1:]](signed(width, a), signed(width, b))
    return _COMPARISONS[sign](a % (1 << width), b % (1 << width))


def byte_order(word: str, value: int) -> int:
    """`be16`, `le32`, `bswap64` and so on: the low bytes, turned around or not, zero-extended. The host is little endian."""
    kind, size = word.rstrip("0123456789"), int(word.lstrip("abelpsw")) // 8
    raw = (value % (1 << 8 * size)).to_bytes(size, "little")
    return int.from_bytes(raw, "little" if kind == "le" else "big")
