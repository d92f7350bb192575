"""Bytes to instructions and back: the encoding of RFC 9669 section 3, little endian (bpfel).

    slot:    opcode(8)  src(4)|dst(4)  offset(16, s)  imm(32, s)        a wide insn's second slot: 0  0  0  imm (upper half)

`decode(encode(insns)) == insns` and `encode(decode(code)) == code`, also for opcodes that are no instruction: what is one is
`isa.validate`'s question. The imm of a wide insn is one signed 64-bit number, whatever src_reg makes of it: for
BPF_PSEUDO_MAP_VALUE its upper half is the offset into the value, for BPF_PSEUDO_BTF_ID the fd of the module's BTF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.isa.insn import LD_IMM64, Insn

SLOT_BYTES = 8

_SLOT = struct.Struct("<BBhi")


def encode(insns: Iterable[Insn]) -> bytes:
    """The bytes of `insns` as bpf(2) and the sections of an object want them.

    Symbols are not resolved: a symbol's imm is encoded as it stands. Raises InputError `malformed-bytecode` when a field does
    not fit its width.
    """
    out = bytearray()
    for index, insn in enumerate(insns):
        wide = insn.opcode == LD_IMM64
        if not (0 <= insn.dst_reg <= 15 and 0 <= insn.src_reg <= 15):
            raise _malformed(f"insn {index}: registers {insn.dst_reg} and {insn.src_reg} do not fit 4 bits each")
        if wide and not -(1 << 63) <= insn.imm < 1 << 63:
            raise _malformed(f"insn {index}: imm {insn.imm} does not fit a signed 64-bit field")
        lower = (insn.imm & 0xFFFFFFFF ^ 0x80000000) - 0x80000000 if wide else insn.imm
        try:
            out += _SLOT.pack(insn.opcode, insn.dst_reg | insn.src_reg << 4, insn.offset, lower)
        except struct.error:
            raise _malformed(
                f"insn {index}: opcode {insn.opcode:#x}, offset {insn.offset} or imm {insn.imm} does not fit its field"
            ) from None
        if wide:
            out += _SLOT.pack(0, 0, 0, insn.imm >> 32)
    return bytes(out)


def decode(code: bytes) -> tuple[Insn, ...]:
    """The instructions in `code`, one Insn for the two slots of a wide one.

    Raises InputError `malformed-bytecode` when `code` is not whole slots, ends within a wide insn, or has one whose second slot
    sets anything but imm.
    """
    if len(code) % SLOT_BYTES:
        raise _malformed(f"{len(code)} bytes are not a whole number of {SLOT_BYTES}-byte slots")
    insns: list[Insn] = []
    slots = _SLOT.iter_unpack(code)
    slot = 0
    for opcode, registers, offset, imm in slots:
        slot += 1
        if opcode == LD_IMM64:
            second = next(slots, None)
            if second is None:
                raise _malformed(f"slot {slot - 1}: the code ends within a wide insn")
            if second[:3] != (0, 0, 0):
                raise _malformed(f"slot {slot}: the second slot of a wide insn sets more than its imm")
            imm = second[3] << 32 | imm & 0xFFFFFFFF
            slot += 1
        insns.append(Insn(opcode, registers & 15, registers >> 4, offset, imm))
    return tuple(insns)


def _malformed(message: str) -> InputError:
    return InputError(
        Diagnostic("malformed-bytecode", message, help="recompile the object; `bpfsmith disasm` shows the fields of each insn")
    )
