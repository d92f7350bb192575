"""What each op computes, said once over a `Domain` (RFC 9669 section 4).

Registers are 64 bits wide. A 32-bit operation reads the low halves and zero-extends its result. Shift amounts are masked to the
width. Unsigned and signed division by zero give 0, modulo by zero leaves the dividend (truncated to the width); the least
number divided by -1 is itself, its remainder 0.
"""

from __future__ import annotations

from typing import assert_never

from bpfsmith.ir.ops import AluKind, AtomicKind, Condition
from bpfsmith.semantics.domain import B, Domain, V


def alu(d: Domain[V, B], kind: AluKind, width: int, dst: V, src: V) -> V:
    """The new 64-bit value of dst; both operands are 64-bit register values (immediates sign-extended)."""
    a, b = _low(d, width, dst), _low(d, width, src)
    result = _alu(d, kind, width, a, b)
    return d.zext(result, width, 64) if width < 64 else result


def _low(d: Domain[V, B], width: int, value: V) -> V:
    return d.extract(value, 64, width - 1, 0) if width < 64 else value


def _alu(d: Domain[V, B], kind: AluKind, width: int, a: V, b: V) -> V:
    match kind:
        case AluKind.ADD:
            return d.add(width, a, b)
        case AluKind.SUB:
            return d.sub(width, a, b)
        case AluKind.MUL:
            return d.mul(width, a, b)
        case AluKind.UDIV:
            return d.ite(width, d.eq(width, b, d.const(width, 0)), d.const(width, 0), d.udiv(width, a, b))
        case AluKind.UMOD:
            return d.urem(width, a, b)  # x % 0 is x: eBPF and every Domain agree
        case AluKind.SDIV:
            return _signed_division(d, width, a, b)
        case AluKind.SMOD:
            return _signed_modulo(d, width, a, b)
        case AluKind.OR:
            return d.or_(width, a, b)
        case AluKind.AND:
            return d.and_(width, a, b)
        case AluKind.XOR:
            return d.xor(width, a, b)
        case AluKind.LSH:
            return d.shl(width, a, _shift_amount(d, width, b))
        case AluKind.RSH:
            return d.lshr(width, a, _shift_amount(d, width, b))
        case AluKind.ARSH:
            return d.ashr(width, a, _shift_amount(d, width, b))
        case AluKind.MOV:
            return b
    assert_never(kind)


def _shift_amount(d: Domain[V, B], width: int, amount: V) -> V:
    return d.and_(width, amount, d.const(width, width - 1))


def _magnitude(d: Domain[V, B], width: int, value: V) -> tuple[B, V]:
    negative = d.slt(width, value, d.const(width, 0))
    return negative, d.ite(width, negative, d.sub(width, d.const(width, 0), value), value)


def _signed_division(d: Domain[V, B], width: int, a: V, b: V) -> V:
    """Truncates toward zero; magnitudes are divided unsigned, so the least number / -1 wraps to itself."""
    zero = d.const(width, 0)
    a_negative, a_size = _magnitude(d, width, a)
    b_negative, b_size = _magnitude(d, width, b)
    quotient = d.udiv(width, a_size, b_size)
    differ = d.any_of(d.all_of(a_negative, d.negate(b_negative)), d.all_of(d.negate(a_negative), b_negative))
    signed_quotient = d.ite(width, differ, d.sub(width, zero, quotient), quotient)
    return d.ite(width, d.eq(width, b, zero), zero, signed_quotient)


def _signed_modulo(d: Domain[V, B], width: int, a: V, b: V) -> V:
    """The remainder takes the dividend's sign; by zero it is the dividend."""
    zero = d.const(width, 0)
    a_negative, a_size = _magnitude(d, width, a)
    _, b_size = _magnitude(d, width, b)
    remainder = d.urem(width, a_size, b_size)
    return d.ite(width, a_negative, d.sub(width, zero, remainder), remainder)


def negate(d: Domain[V, B], width: int, dst: V) -> V:
    result = d.sub(width, d.const(width, 0), _low(d, width, dst))
    return d.zext(result, width, 64) if width < 64 else result


def move_signed(d: Domain[V, B], width: int, bits: int, src: V) -> V:
    result = d.sext(d.extract(src, 64, bits - 1, 0), bits, width)
    return d.zext(result, width, 64) if width < 64 else result


def byte_order(d: Domain[V, B], to: str, bits: int, dst: V) -> V:
    """The host is little endian, as every target of this package is."""
    value = d.extract(dst, 64, bits - 1, 0) if bits < 64 else dst
    if to != "le":
        value = swap_bytes(d, bits, value)
    return d.zext(value, bits, 64) if bits < 64 else value


def swap_bytes(d: Domain[V, B], bits: int, value: V) -> V:
    result, width = d.extract(value, bits, 7, 0), 8
    for low in range(8, bits, 8):
        result = d.concat(result, width, d.extract(value, bits, low + 7, low), 8)
        width += 8
    return result


def condition(d: Domain[V, B], kind: Condition, width: int, left: V, right: V) -> B:
    """Is the branch taken? Operands are 64-bit register values (immediates sign-extended)."""
    a, b = _low(d, width, left), _low(d, width, right)
    match kind:
        case Condition.EQ:
            return d.eq(width, a, b)
        case Condition.NE:
            return d.negate(d.eq(width, a, b))
        case Condition.SET:
            return d.negate(d.eq(width, d.and_(width, a, b), d.const(width, 0)))
        case Condition.UGT:
            return d.ult(width, b, a)
        case Condition.UGE:
            return d.negate(d.ult(width, a, b))
        case Condition.ULT:
            return d.ult(width, a, b)
        case Condition.ULE:
            return d.negate(d.ult(width, b, a))
        case Condition.SGT:
            return d.slt(width, b, a)
        case Condition.SGE:
            return d.negate(d.slt(width, a, b))
        case Condition.SLT:
            return d.slt(width, a, b)
        case Condition.SLE:
            return d.negate(d.slt(width, b, a))
    assert_never(kind)


def atomic(d: Domain[V, B], kind: AtomicKind, width: int, old: V, src: V, expected: V) -> V:
    """What an atomic operation leaves in memory; `expected` is r0, which only CMPXCHG looks at. All have `width` bits."""
    match kind:
        case AtomicKind.ADD:
            return d.add(width, old, src)
        case AtomicKind.OR:
            return d.or_(width, old, src)
        case AtomicKind.AND:
            return d.and_(width, old, src)
        case AtomicKind.XOR:
            return d.xor(width, old, src)
        case AtomicKind.XCHG:
            return src
        case AtomicKind.CMPXCHG:
            return d.ite(width, d.eq(width, old, expected), src, old)
    assert_never(kind)
