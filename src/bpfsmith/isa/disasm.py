"""Instructions as text, in the kernel's own words: `r0 = *(u16 *)(r2 +36)`, `if w0 s> 0x5 goto pc+3`.

    disassemble(insn)     text that `isa.asm` reads back to the same insn
    log_text(insn)        the text of the verifier's log, opcode included: `(69) r0 = *(u16 *)(r2 +36)`

The two differ where the log's text leaves the insn open, which is at the wide insn alone. The log prints a bare hexadecimal
number; here a constant has an ` ll` behind it, and pointers name what they point at:

    r1 = 0x100000000 ll        r1 = map[counts]  r1 = map[fd:3]       r1 = map[.rodata][0]+8  r1 = map[fd:3][0]+8
    r1 = subprog[each]         r1 = subprog[+5]  r1 = map[idx:2]      r1 = btf[id:7]

What has no text (an unknown opcode, a reserved field that is not zero) is `.insn` with its fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from bpfsmith.isa.forms import Form, Operand, by_opcode, find
from bpfsmith.isa.insn import Insn, slot_starts
from bpfsmith.isa.program import Program
from bpfsmith.isa.tables import HELPERS


def disassemble(insn: Insn) -> str:
    """The text of one insn, which `isa.asm` reads back. With a symbol, the imm that it stands for is not shown."""
    form = find(insn)
    return _text(form, insn) if form else _raw(insn)


def log_text(insn: Insn) -> str:
    """The text of one insn as the verifier's log has it after `N: `, for comparing with a log.

    A wide insn that loads a pointer has an address in the log, which no blueprint knows; here it is the imm as it stands.
    """
    if insn.is_wide:
        return f"({insn.opcode:02x}) r{insn.dst_reg} = {insn.imm & (1 << 64) - 1:#x}"
    form = next((form for form in by_opcode().get(insn.opcode, ()) if form.selects(insn)), None)
    return f"({insn.opcode:02x}) {_text(form, insn) if form else _raw(insn)}"


def listing(insns: Sequence[Insn]) -> list[tuple[int, Insn, str]]:
    """Each insn with its text and the slot at which it starts, the number that the verifier's log and jump offsets count in."""
    return [(slot, insn, disassemble(insn)) for slot, insn in zip(slot_starts(insns), insns, strict=False)]


def _text(form: Form, insn: Insn) -> str:
    return "".join(_show(piece, insn) if isinstance(piece, Operand) else piece for piece in form.pieces)


def _raw(insn: Insn) -> str:
    fields = f"opcode={insn.opcode:#04x} dst={insn.dst_reg} src={insn.src_reg} offset={insn.offset} imm={insn.imm}"
    return f".insn {fields}" + (f" symbol={insn.symbol}" if insn.symbol else "")


def _show(operand: Operand, insn: Insn) -> str:
    symbol, imm = insn.symbol, insn.imm
    match operand:
        case Operand.DST:
            return f"r{insn.dst_reg}"
        case Operand.SRC:
            return f"r{insn.src_reg}"
        case Operand.WDST:
            return f"w{insn.dst_reg}"
        case Operand.WSRC:
            return f"w{insn.src_reg}"
        case Operand.OFFSET:
            return f"{insn.offset:+d}"
        case Operand.IMM | Operand.IMM32:
            return str(imm)
        case Operand.HEX:
            return f"{imm & 0xFFFFFFFF:#x}"
        case Operand.TARGET:
            return f"pc{insn.offset:+d}"
        case Operand.LONG_TARGET:
            return f"pc{imm:+d}"
        case Operand.WIDE:
            return f"{imm & (1 << 64) - 1:#x} ll"
        case Operand.MAP:
            return f"map[{symbol or f'fd:{imm}'}]"
        case Operand.MAP_VALUE:
            return f"map[{symbol or f'fd:{_lower(imm)}'}][0]+{_upper(imm)}"
        case Operand.MAP_INDEX:
            return f"map[{symbol or f'idx:{imm}'}]"
        case Operand.MAP_INDEX_VALUE:
            return f"map[{symbol or f'idx:{_lower(imm)}'}][0]+{_upper(imm)}"
        case Operand.BTF:
            return f"btf[{symbol or f'id:{_lower(imm)}'}{f' fd:{_upper(imm)}' if _upper(imm) else ''}]"
        case Operand.FUNCTION:
            return f"subprog[{symbol or f'{imm:+d}'}]"
        case Operand.HELPER:
            return f"{HELPERS[imm].name if imm in HELPERS else 'bpf_unspec' if imm == 0 else 'unknown'}#{imm}"
        case Operand.CALLEE:
            return symbol or f"pc{imm:+d}"
        case Operand.KFUNC:
            return f"{symbol or 'kernel-function'}#{imm}"
        case Operand.SPACES:
            return f"{imm >> 16 & 0xFFFF}, {imm & 0xFFFF}"
        case _:
            assert_never(operand)


def _lower(imm: int) -> int:
    return (imm & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


def _upper(imm: int) -> int:
    return imm >> 32 & 0xFFFFFFFF


def assembly(program: Program) -> str:
    """A whole program as text that `isa.asm` reads back: its maps, its section, its functions."""
    lines = [f".license {program.license}"]
    for spec in program.maps:
        kind = spec.type.removeprefix("BPF_MAP_TYPE_").lower()
        extra = f" flags={spec.flags}" if spec.flags else ""
        extra += f" initial={spec.initial.hex()}" if spec.initial is not None else ""
        extra += " frozen" if spec.frozen else ""
        lines.append(f".map {spec.name} {kind} key={spec.key_size} value={spec.value_size} max={spec.max_entries}{extra}")
    lines += [f".section {program.section}", f".program {program.name}"]
    lines += [f"\t{disassemble(insn)}" for insn in program.insns]
    for sub in program.subprograms:
        lines.append(f".function {sub.name}{' global' if sub.is_global else ''}")
        lines += [f"\t{disassemble(insn)}" for insn in sub.insns]
    return "\n".join(lines) + "\n"
