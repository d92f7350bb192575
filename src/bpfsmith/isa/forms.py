"""Every instruction as one declaration: its encoding and its text. Disassembler, assembler and validator all read this table.

    Form(opcode=0xBF, text="{dst} = (s8){src}", fixed={"offset": 8}, group=BASE64)

A form matches an Insn when the opcode and the `fixed` fields agree and every field that the text does not show is zero, so that
text and encoding carry the same information. The text is what the kernel prints (kernel/bpf/disasm.c: print_bpf_insn).
Opcodes and conformance groups: RFC 9669 sections 2.4 and 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, cached_property

from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn


class Group(StrEnum):
    """Conformance groups, RFC 9669 section 2.4, and two of ours."""

    BASE32 = "base32"
    BASE64 = "base64"
    ATOMIC32 = "atomic32"
    ATOMIC64 = "atomic64"
    DIVMUL32 = "divmul32"
    DIVMUL64 = "divmul64"
    PACKET = "packet"
    KERNEL = "kernel"  # Linux accepts it in a program, the RFC does not have it
    INTERNAL = "internal"  # Linux writes it into xlated images, and accepts it from nobody


class Operand(StrEnum):
    """What stands in the braces of a form's text."""

    DST = "dst"  # r1
    SRC = "src"
    WDST = "wdst"  # w1, the lower half
    WSRC = "wsrc"
    OFFSET = "offset"  # +8, -8
    IMM = "imm"  # decimal, sign-extended to 64 bits
    IMM32 = "imm32"  # decimal, 32 bits: signed or unsigned
    HEX = "hex"  # 0xffffffff: the 32 bits of imm
    TARGET = "target"  # pc+3 in offset
    LONG_TARGET = "long_target"  # pc+3 in imm
    WIDE = "wide"  # 0x100000000 ll
    MAP = "map"  # map[NAME], map[fd:3]
    MAP_VALUE = "map_value"  # map[NAME][0]+8, map[fd:3][0]+8
    MAP_INDEX = "map_index"  # map[idx:3]
    MAP_INDEX_VALUE = "map_index_value"  # map[idx:3][0]+8
    BTF = "btf"  # btf[id:7], btf[id:7 fd:3]
    FUNCTION = "function"  # subprog[NAME], subprog[+5]
    HELPER = "helper"  # bpf_ktime_get_ns#5
    CALLEE = "callee"  # NAME, pc+5
    KFUNC = "kfunc"  # NAME#123
    SPACES = "spaces"  # 0, 1: the two halves of imm

    @property
    def field(self) -> str:
        """The field of Insn that holds it."""
        return _FIELDS.get(self, "imm")


_FIELDS = {
    Operand.DST: "dst_reg",
    Operand.WDST: "dst_reg",
    Operand.SRC: "src_reg",
    Operand.WSRC: "src_reg",
    Operand.OFFSET: "offset",
    Operand.TARGET: "offset",
}


@dataclass(frozen=True, eq=False)
class Form:
    """One instruction: `text` has operands in braces, `fixed` the fields that its opcode alone does not decide."""

    opcode: int
    text: str
    group: Group
    fixed: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def pieces(self) -> tuple[str | Operand, ...]:
        """The text cut into literal strings and operands."""
        parts = re.split(r"\{(\w+)\}", self.text)
        return tuple(Operand(part) if at % 2 else part for at, part in enumerate(parts) if part)

    @cached_property
    def unused(self) -> tuple[str, ...]:
        """The fields that neither the text nor `fixed` decides; they must be zero."""
        used = {piece.field for piece in self.pieces if isinstance(piece, Operand)} | self.fixed.keys()
        return tuple(name for name in ("dst_reg", "src_reg", "offset", "imm") if name not in used)

    def selects(self, insn: Insn) -> bool:
        """Do opcode and fixed fields agree, whatever the unused fields hold? The kernel's printer asks no more."""
        return self.opcode == insn.opcode and all(getattr(insn, name) == value for name, value in self.fixed.items())

    def nonzero_unused(self, insn: Insn) -> tuple[str, ...]:
        """The unused fields that `insn` sets all the same."""
        return tuple(name for name in self.unused if getattr(insn, name))


def find(insn: Insn) -> Form | None:
    """The form of `insn`, None when it is no instruction. Registers above r10 and the values of operands are not judged."""
    for form in by_opcode().get(insn.opcode, ()):
        if form.selects(insn) and not form.nonzero_unused(insn):
            return form
    return None


@cache
def by_opcode() -> Mapping[int, tuple[Form, ...]]:
    """All forms by opcode; those with fixed fields come first, so that the first that selects an insn is its own."""
    table: dict[int, list[Form]] = {}
    for form in FORMS:
        table.setdefault(form.opcode, []).append(form)
    return {opcode: tuple(sorted(forms, key=lambda form: -len(form.fixed))) for opcode, forms in table.items()}


_ARITHMETIC = {
    isa.BPF_ADD: "+=", isa.BPF_SUB: "-=", isa.BPF_MUL: "*=", isa.BPF_DIV: "/=", isa.BPF_OR: "|=", isa.BPF_AND: "&=",
    isa.BPF_LSH: "<<=", isa.BPF_RSH: ">>=", isa.BPF_MOD: "%=", isa.BPF_XOR: "^=", isa.BPF_MOV: "=", isa.BPF_ARSH: "s>>=",
}  # fmt: skip
_CONDITIONS = {
    isa.BPF_JEQ: "==", isa.BPF_JGT: ">", isa.BPF_JGE: ">=", isa.BPF_JSET: "&", isa.BPF_JNE: "!=", isa.BPF_JSGT: "s>",
    isa.BPF_JSGE: "s>=", isa.BPF_JLT: "<", isa.BPF_JLE: "<=", isa.BPF_JSLT: "s<", isa.BPF_JSLE: "s<=",
}  # fmt: skip
_DIVMUL = frozenset({isa.BPF_MUL, isa.BPF_DIV, isa.BPF_MOD})
_SIZES = {isa.BPF_B: "u8", isa.BPF_H: "u16", isa.BPF_W: "u32", isa.BPF_DW: "u64"}
_ATOMICS = {isa.BPF_ADD: "add", isa.BPF_OR: "or", isa.BPF_AND: "and", isa.BPF_XOR: "xor"}
_SEGMENT = isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_X


def _alu() -> Iterator[Form]:
    """RFC 9669 section 4.1."""
    for insn_class, prefix, imm, bits in ((isa.BPF_ALU, "w", "{imm32}", 32), (isa.BPF_ALU64, "", "{imm}", 64)):
        dst, src = f"{{{prefix}dst}}", f"{{{prefix}src}}"
        base, divmul = Group(f"base{bits}"), Group(f"divmul{bits}")
        for code, sign in _ARITHMETIC.items():
            group = divmul if code in _DIVMUL else base
            yield Form(insn_class | code | isa.BPF_K, f"{dst} {sign} {imm}", group)
            yield Form(insn_class | code | isa.BPF_X, f"{dst} {sign} {src}", group)
            if code in (isa.BPF_DIV, isa.BPF_MOD):
                yield Form(insn_class | code | isa.BPF_K, f"{dst} s{sign} {imm}", group, {"offset": 1})
                yield Form(insn_class | code | isa.BPF_X, f"{dst} s{sign} {src}", group, {"offset": 1})
        yield Form(insn_class | isa.BPF_NEG, f"{dst} = -{dst}", base)
        for width in (8, 16, 32):
            if width < bits:
                yield Form(insn_class | isa.BPF_MOV | isa.BPF_X, f"{dst} = (s{width}){src}", base, {"offset": width})
    yield Form(_SEGMENT, "{dst} = addr_space_cast({src}, {spaces})", Group.KERNEL, {"offset": 1})
    yield Form(_SEGMENT, "{dst} = &(void __percpu *)({src})", Group.INTERNAL, {"offset": -1})


def _byte_order() -> Iterator[Form]:
    """RFC 9669 section 4.2."""
    for width in (16, 32, 64):
        group = Group.BASE64 if width == 64 else Group.BASE32
        yield Form(isa.BPF_ALU | isa.BPF_END | isa.BPF_TO_LE, f"{{dst}} = le{width} {{dst}}", group, {"imm": width})
        yield Form(isa.BPF_ALU | isa.BPF_END | isa.BPF_TO_BE, f"{{dst}} = be{width} {{dst}}", group, {"imm": width})
        yield Form(isa.BPF_ALU64 | isa.BPF_END, f"{{dst}} = bswap{width} {{dst}}", group, {"imm": width})


def _jumps() -> Iterator[Form]:
    """RFC 9669 section 4.3."""
    for insn_class, prefix, group in ((isa.BPF_JMP, "", Group.BASE64), (isa.BPF_JMP32, "w", Group.BASE32)):
        for code, sign in _CONDITIONS.items():
            yield Form(insn_class | code | isa.BPF_K, f"if {{{prefix}dst}} {sign} {{hex}} goto {{target}}", group)
            yield Form(insn_class | code | isa.BPF_X, f"if {{{prefix}dst}} {sign} {{{prefix}src}} goto {{target}}", group)
    yield Form(isa.BPF_JMP | isa.BPF_JA, "goto {target}", Group.BASE32)
    yield Form(isa.BPF_JMP32 | isa.BPF_JA, "gotol {long_target}", Group.BASE32)
    yield Form(isa.BPF_JMP | isa.BPF_JA | isa.BPF_X, "gotox {dst}", Group.KERNEL)
    yield Form(isa.BPF_JMP | isa.BPF_JCOND, "may_goto {target}", Group.KERNEL, {"src_reg": isa.BPF_MAY_GOTO})
    yield Form(isa.BPF_JMP | isa.BPF_CALL, "call {helper}", Group.BASE32, {"src_reg": 0})
    yield Form(isa.BPF_JMP | isa.BPF_CALL, "call {callee}", Group.BASE32, {"src_reg": isa.BPF_PSEUDO_CALL})
    yield Form(isa.BPF_JMP | isa.BPF_CALL, "call {kfunc}", Group.BASE32, {"src_reg": isa.BPF_PSEUDO_KFUNC_CALL})
    yield Form(isa.BPF_JMP | isa.BPF_EXIT, "exit", Group.BASE32)


def _memory() -> Iterator[Form]:
    """RFC 9669 sections 5.1 and 5.2."""
    for size, name in _SIZES.items():
        group = Group.BASE64 if size == isa.BPF_DW else Group.BASE32
        imm = "{imm}" if size == isa.BPF_DW else "{imm32}"
        yield Form(isa.BPF_LDX | size | isa.BPF_MEM, f"{{dst}} = *({name} *)({{src}} {{offset}})", group)
        yield Form(isa.BPF_STX | size | isa.BPF_MEM, f"*({name} *)({{dst}} {{offset}}) = {{src}}", group)
        yield Form(isa.BPF_ST | size | isa.BPF_MEM, f"*({name} *)({{dst}} {{offset}}) = {imm}", group)
        if size != isa.BPF_DW:
            signed = name.replace("u", "s")
            yield Form(isa.BPF_LDX | size | isa.BPF_MEMSX, f"{{dst}} = *({signed} *)({{src}} {{offset}})", Group.BASE64)
            yield Form(isa.BPF_LD | size | isa.BPF_ABS, f"r0 = *({name} *)skb[{{imm}}]", Group.PACKET)
            yield Form(isa.BPF_LD | size | isa.BPF_IND, f"r0 = *({name} *)skb[{{src}} + {{imm}}]", Group.PACKET)
    yield Form(isa.BPF_ST | 0xC0, "nospec", Group.INTERNAL)  # a speculation barrier, include/linux/filter.h


def _atomics() -> Iterator[Form]:
    """RFC 9669 section 5.3; load_acquire and store_release: include/uapi/linux/bpf.h."""
    for size, name, wide, group in ((isa.BPF_W, "u32", "", Group.ATOMIC32), (isa.BPF_DW, "u64", "64", Group.ATOMIC64)):
        opcode, place = isa.BPF_STX | size | isa.BPF_ATOMIC, f"({name} *)({{dst}} {{offset}})"
        for code, word in _ATOMICS.items():
            fetch = f"{{src}} = atomic{wide}_fetch_{word}({place}, {{src}})"
            yield Form(opcode, f"lock *{place} {_ARITHMETIC[code]} {{src}}", group, {"imm": code})
            yield Form(opcode, fetch, group, {"imm": code | isa.BPF_FETCH})
        yield Form(opcode, f"{{src}} = atomic{wide}_xchg({place}, {{src}})", group, {"imm": isa.BPF_XCHG})
        yield Form(opcode, f"r0 = atomic{wide}_cmpxchg({place}, r0, {{src}})", group, {"imm": isa.BPF_CMPXCHG})
    for size, name in _SIZES.items():
        opcode = isa.BPF_STX | size | isa.BPF_ATOMIC
        load, store = f"load_acquire(({name} *)({{src}} {{offset}}))", f"store_release(({name} *)({{dst}} {{offset}}), {{src}})"
        yield Form(opcode, f"{{dst}} = {load}", Group.KERNEL, {"imm": isa.BPF_LOAD_ACQ})
        yield Form(opcode, store, Group.KERNEL, {"imm": isa.BPF_STORE_REL})


def _wide() -> Iterator[Form]:
    """RFC 9669 section 5.4."""
    operands = {
        0: Operand.WIDE,
        isa.BPF_PSEUDO_MAP_FD: Operand.MAP,
        isa.BPF_PSEUDO_MAP_VALUE: Operand.MAP_VALUE,
        isa.BPF_PSEUDO_BTF_ID: Operand.BTF,
        isa.BPF_PSEUDO_FUNC: Operand.FUNCTION,
        isa.BPF_PSEUDO_MAP_IDX: Operand.MAP_INDEX,
        isa.BPF_PSEUDO_MAP_IDX_VALUE: Operand.MAP_INDEX_VALUE,
    }
    for src, operand in operands.items():
        yield Form(isa.LD_IMM64, f"{{dst}} = {{{operand}}}", Group.BASE64, {"src_reg": src})


FORMS: tuple[Form, ...] = (*_alu(), *_byte_order(), *_jumps(), *_memory(), *_atomics(), *_wide())
