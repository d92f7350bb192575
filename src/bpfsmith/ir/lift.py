"""From instructions to ops: what each encoding means (RFC 9669 sections 4 and 5), and nothing about how it is used."""

from __future__ import annotations

from collections.abc import Callable

from bpfsmith.diagnostic import Diagnostic, InputError, Label
from bpfsmith.ir import ops
from bpfsmith.ir.ops import AluKind, AtomicKind, Condition, Imm, Op, Operand, Reg
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn

_ALU = {
    isa.BPF_ADD: AluKind.ADD, isa.BPF_SUB: AluKind.SUB, isa.BPF_MUL: AluKind.MUL, isa.BPF_OR: AluKind.OR,
    isa.BPF_AND: AluKind.AND, isa.BPF_XOR: AluKind.XOR, isa.BPF_LSH: AluKind.LSH, isa.BPF_RSH: AluKind.RSH,
    isa.BPF_ARSH: AluKind.ARSH,
}  # fmt: skip
_CONDITIONS = {
    isa.BPF_JEQ: Condition.EQ, isa.BPF_JNE: Condition.NE, isa.BPF_JSET: Condition.SET, isa.BPF_JGT: Condition.UGT,
    isa.BPF_JGE: Condition.UGE, isa.BPF_JLT: Condition.ULT, isa.BPF_JLE: Condition.ULE, isa.BPF_JSGT: Condition.SGT,
    isa.BPF_JSGE: Condition.SGE, isa.BPF_JSLT: Condition.SLT, isa.BPF_JSLE: Condition.SLE,
}  # fmt: skip
_ATOMICS = {
    isa.BPF_ADD: AtomicKind.ADD, isa.BPF_OR: AtomicKind.OR, isa.BPF_AND: AtomicKind.AND, isa.BPF_XOR: AtomicKind.XOR,
    isa.BPF_XCHG: AtomicKind.XCHG, isa.BPF_CMPXCHG: AtomicKind.CMPXCHG,
}  # fmt: skip


_Resolve = Callable[[int, int], int]
"""(insn index, distance in slots) -> index of the insn jumped to."""


def lift(insns: tuple[Insn, ...]) -> tuple[Op, ...]:
    """One op per insn of one function, in order. Raises InputError (`malformed-bytecode`) for what RFC 9669 does not define."""
    starts = isa.slot_starts(insns)
    index_of_slot = {slot: index for index, slot in enumerate(starts[:-1])}

    def target(index: int, distance: int) -> int:
        try:
            return index_of_slot[starts[index + 1] + distance]
        except KeyError:
            raise _malformed(insns[index], index, f"the jump by {distance:+d} slots leads to no instruction") from None

    return tuple(_lift_one(insn, index, target) for index, insn in enumerate(insns))


def lift_alone(insn: Insn) -> Op:
    """The op of one insn by itself, as `lift` gives it; what it jumps to is 0."""
    return _lift_one(insn, 0, lambda index, distance: 0)


def _lift_one(insn: Insn, index: int, target: _Resolve) -> Op:
    match insn.insn_class:
        case isa.BPF_ALU | isa.BPF_ALU64:
            return _alu(insn, index)
        case isa.BPF_JMP | isa.BPF_JMP32:
            return _jump(insn, index, target)
        case isa.BPF_LD:
            return _ld(insn, index)
        case _:
            return _memory(insn, index)


def _alu(insn: Insn, index: int) -> Op:
    width = 64 if insn.insn_class == isa.BPF_ALU64 else 32
    dst = Reg(insn.dst_reg)
    code = insn.opcode & 0xF0
    src: Operand = Reg(insn.src_reg) if insn.opcode & isa.BPF_X else Imm(insn.imm)
    match code:
        case isa.BPF_NEG:
            return ops.Negate(width, dst)
        case isa.BPF_END:
            if width == 64:
                return ops.ByteOrder("swap", insn.imm, dst)
            return ops.ByteOrder("be" if insn.opcode & isa.BPF_TO_BE else "le", insn.imm, dst)
        case isa.BPF_MOV:
            if insn.offset == 1:
                return ops.AddressCast("addr_space_cast", dst, Reg(insn.src_reg), insn.imm != 1)
            if insn.offset:
                return ops.MoveSigned(width, insn.offset, dst, Reg(insn.src_reg))
            return ops.Alu(AluKind.MOV, width, dst, src)
        case isa.BPF_DIV:
            return ops.Alu(AluKind.SDIV if insn.offset else AluKind.UDIV, width, dst, src)
        case isa.BPF_MOD:
            return ops.Alu(AluKind.SMOD if insn.offset else AluKind.UMOD, width, dst, src)
        case _ if code in _ALU:
            return ops.Alu(_ALU[code], width, dst, src)
        case _:
            raise _malformed(insn, index, f"opcode {insn.opcode:#04x} is not an instruction")


def _jump(insn: Insn, index: int, target: _Resolve) -> Op:
    code, wide = insn.opcode & 0xF0, insn.insn_class == isa.BPF_JMP
    match code:
        case isa.BPF_EXIT:
            return ops.Exit()
        case isa.BPF_CALL:
            if insn.src_reg == isa.BPF_PSEUDO_CALL:
                return ops.CallSubprogram(insn.symbol or f"pc{insn.imm:+d}")
            if insn.src_reg == isa.BPF_PSEUDO_KFUNC_CALL:
                return ops.CallKfunc(insn.symbol or f"btf_id:{insn.imm}")
            return ops.CallHelper(insn.imm)
        case isa.BPF_JA if insn.opcode & isa.BPF_X:
            return ops.Unlifted("gotox")
        case isa.BPF_JA:
            return ops.Jump(target(index, insn.offset if wide else insn.imm))
        case isa.BPF_JCOND:
            return ops.MayGoto(target(index, insn.offset))
        case _ if code in _CONDITIONS:
            right: Operand = Reg(insn.src_reg) if insn.opcode & isa.BPF_X else Imm(insn.imm)
            where = target(index, insn.offset)
            return ops.Branch(_CONDITIONS[code], 64 if wide else 32, Reg(insn.dst_reg), right, where)
        case _:
            raise _malformed(insn, index, f"opcode {insn.opcode:#04x} is not an instruction")


def _ld(insn: Insn, index: int) -> Op:
    mode = insn.opcode & 0xE0
    if insn.is_wide:
        dst = Reg(insn.dst_reg)
        match insn.src_reg:
            case 0:
                return ops.LoadImm(dst, insn.imm)
            case isa.BPF_PSEUDO_MAP_FD | isa.BPF_PSEUDO_MAP_IDX:
                return ops.LoadMap(dst, insn.symbol or f"map#{insn.imm}")
            case isa.BPF_PSEUDO_MAP_VALUE | isa.BPF_PSEUDO_MAP_IDX_VALUE:
                return ops.LoadMapValue(dst, insn.symbol or f"map#{insn.imm & 0xFFFFFFFF}", insn.imm >> 32)
            case isa.BPF_PSEUDO_FUNC:
                return ops.LoadFunction(dst, insn.symbol or f"pc{insn.imm:+d}")
            case isa.BPF_PSEUDO_BTF_ID if insn.symbol:
                return ops.LoadSymbol(dst, insn.symbol)
            case _:
                return ops.Unlifted("ld_imm64 of a kernel symbol")
    size = isa.SIZE_BYTES[insn.opcode & 0x18]
    if mode == isa.BPF_ABS:
        return ops.LoadSkb(insn.imm, size, None)
    if mode == isa.BPF_IND:
        return ops.LoadSkb(insn.imm, size, Reg(insn.src_reg))
    raise _malformed(insn, index, f"opcode {insn.opcode:#04x} is not an instruction")


def _memory(insn: Insn, index: int) -> Op:
    mode, size = insn.opcode & 0xE0, isa.SIZE_BYTES[insn.opcode & 0x18]
    dst, src = Reg(insn.dst_reg), Reg(insn.src_reg)
    match insn.insn_class, mode:
        case isa.BPF_LDX, (isa.BPF_MEM | isa.BPF_MEMSX):
            return ops.Load(dst, src, insn.offset, size, signed=mode == isa.BPF_MEMSX)
        case isa.BPF_ST, isa.BPF_MEM:
            return ops.Store(dst, insn.offset, size, Imm(insn.imm))
        case isa.BPF_STX, isa.BPF_MEM:
            return ops.Store(dst, insn.offset, size, src)
        case isa.BPF_STX, isa.BPF_ATOMIC:
            if insn.imm == isa.BPF_LOAD_ACQ:
                return ops.Load(dst, src, insn.offset, size, acquire=True)
            if insn.imm == isa.BPF_STORE_REL:
                return ops.Store(dst, insn.offset, size, src, release=True)
            kind = _ATOMICS.get(insn.imm if insn.imm in (isa.BPF_XCHG, isa.BPF_CMPXCHG) else insn.imm & ~isa.BPF_FETCH)
            if kind is not None:
                return ops.Atomic(kind, dst, insn.offset, size, src, fetch=bool(insn.imm & isa.BPF_FETCH))
        case _:
            pass
    raise _malformed(insn, index, f"opcode {insn.opcode:#04x} (imm {insn.imm:#x}) is not an instruction")


def _malformed(insn: Insn, index: int, message: str) -> InputError:
    return InputError(
        Diagnostic(
            id="malformed-bytecode",
            message=f"instruction {index}: {message}",
            primary=Label(insn.span) if insn.span else None,
            help="recompile the object; `bpfsmith disasm` shows the raw fields",
        )
    )
