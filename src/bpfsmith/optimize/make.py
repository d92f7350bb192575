"""Instructions that passes put in."""

from __future__ import annotations

from dataclasses import replace

from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.source import Span

SIZES = {1: isa.BPF_B, 2: isa.BPF_H, 4: isa.BPF_W, 8: isa.BPF_DW}


def fits_signed(value: int, bits: int) -> bool:
    """Does a number fit a signed field?"""
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1)


def signed64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def move(dst: int, src: int, span: Span | None) -> Insn:
    return Insn(isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_X, dst, src, span=span)


def constant(dst: int, value: int, span: Span | None) -> Insn | None:
    """dst = a 64-bit value in one slot, if there is such an insn."""
    number = signed64(value)
    if 0 <= number < 1 << 32:
        imm = number - (1 << 32) if number >> 31 else number
        return Insn(isa.BPF_ALU | isa.BPF_MOV | isa.BPF_K, dst, imm=imm, span=span)
    if fits_signed(number, 32):
        return Insn(isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_K, dst, imm=number, span=span)
    return None


def immediate_form(insn: Insn, value: int, width: int) -> Insn | None:
    """An ALU or jump insn with a number in the place of its source register, if the number fits."""
    if width == 32:
        value &= 0xFFFFFFFF
        imm = value - (1 << 32) if value >> 31 else value
    else:
        imm = signed64(value)
    if not fits_signed(imm, 32):
        return None
    return replace(insn, opcode=insn.opcode & ~isa.BPF_X, src_reg=0, imm=imm)


def store_immediate(insn: Insn, value: int, size: int) -> Insn | None:
    """A register store as a store of a number, sign-extended from 32 bits."""
    number = value & ((1 << 8 * size) - 1)
    if number >> (8 * size - 1):
        number -= 1 << 8 * size
    if size < 4:
        number = number if fits_signed(number, 32) else 0
    if not fits_signed(number, 32):
        return None
    return Insn(isa.BPF_ST | isa.BPF_MEM | SIZES[size], insn.dst_reg, 0, insn.offset, number, span=insn.span)


def load(dst: int, base: int, offset: int, size: int, span: Span | None) -> Insn:
    return Insn(isa.BPF_LDX | isa.BPF_MEM | SIZES[size], dst, base, offset, span=span)


def store(base: int, offset: int, size: int, src: int, span: Span | None) -> Insn:
    return Insn(isa.BPF_STX | isa.BPF_MEM | SIZES[size], base, src, offset, span=span)
