"""One eBPF instruction, RFC 9669 field for field.

    +--------+----+----+--------+----------------+        a wide insn (opcode 0x18) has a second slot
    | opcode |dst |src | offset |      imm       |        whose imm holds the upper half of a 64-bit
    | 8 bits | 4  | 4  | 16, s  |    32, signed  |        constant: here it is one Insn with a 64-bit imm
    +--------+----+----+--------+----------------+

Jump offsets count slots (8 bytes), as in the RFC; `slots` and `slot_index` translate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bpfsmith.source import Span

# Instruction classes, RFC 9669 section 3.1.
BPF_LD, BPF_LDX, BPF_ST, BPF_STX, BPF_ALU, BPF_JMP, BPF_JMP32, BPF_ALU64 = range(8)
# Operand source, section 4: the immediate or the source register.
BPF_K, BPF_X = 0x00, 0x08
# Arithmetic codes, section 4.1.
BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50
BPF_LSH, BPF_RSH, BPF_NEG, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH, BPF_END = 0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0
# Byte order of BPF_END, section 4.2 (in the place of the source operand).
BPF_TO_LE, BPF_TO_BE = 0x00, 0x08
# Jump codes, section 4.3.
BPF_JA, BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50
BPF_JSGT, BPF_JSGE, BPF_CALL, BPF_EXIT = 0x60, 0x70, 0x80, 0x90
BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE, BPF_JCOND = 0xA0, 0xB0, 0xC0, 0xD0, 0xE0
# Access sizes and modes, section 5.
BPF_W, BPF_H, BPF_B, BPF_DW = 0x00, 0x08, 0x10, 0x18
BPF_IMM, BPF_ABS, BPF_IND, BPF_MEM, BPF_MEMSX, BPF_ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0
# Atomic operations, section 5.3 (in imm), and the kernel's two of 6.14 (include/uapi/linux/bpf.h).
BPF_FETCH, BPF_XCHG, BPF_CMPXCHG = 0x01, 0xE1, 0xF1
BPF_LOAD_ACQ, BPF_STORE_REL = 0x100, 0x110
# Meanings of src_reg in a wide insn, section 5.4, and in a call, section 4.3.2.
BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE, BPF_PSEUDO_BTF_ID, BPF_PSEUDO_FUNC = 1, 2, 3, 4
BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE = 5, 6
BPF_PSEUDO_CALL, BPF_PSEUDO_KFUNC_CALL = 1, 2
# BPF_JCOND with src_reg 0 is may_goto (include/uapi/linux/bpf.h).
BPF_MAY_GOTO = 0

SIZE_BYTES = {BPF_B: 1, BPF_H: 2, BPF_W: 4, BPF_DW: 8}
LD_IMM64 = BPF_LD | BPF_IMM | BPF_DW  # 0x18, the only wide insn


@dataclass(frozen=True, slots=True)
class Insn:
    """One instruction. Registers are 0..10, `offset` is signed 16 bits, `imm` signed 32 bits (64 for a wide insn).

    `symbol` names what a relocation points at: a map or data section (wide insns with a BPF_PSEUDO_MAP_* src_reg),
    a subprogram (BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC) or a kfunc. For BPF_PSEUDO_MAP_VALUE the upper 32 bits of imm are the
    offset into the map's value and the lower 32 the map's fd, 0 until it is loaded. For BPF_PSEUDO_CALL with a symbol, imm is
    meaningless until `Program.linked()` fills it in. `span` is the source line and is no part of identity.
    """

    opcode: int
    dst_reg: int = 0
    src_reg: int = 0
    offset: int = 0
    imm: int = 0
    symbol: str | None = None
    span: Span | None = field(default=None, compare=False)

    @property
    def insn_class(self) -> int:
        return self.opcode & 0x07

    @property
    def is_wide(self) -> bool:
        return self.opcode == LD_IMM64

    @property
    def slots(self) -> int:
        return 2 if self.opcode == LD_IMM64 else 1


def slot_starts(insns: Iterable[Insn]) -> list[int]:
    """The slot at which each insn starts, and the total number of slots as a last element."""
    starts, at = [], 0
    for insn in insns:
        starts.append(at)
        at += insn.slots
    starts.append(at)
    return starts
