"""What an instruction means, in about a dozen cases, so that every analysis is one `match`.

Registers are 0..10; an operand is a register or a number (`Reg | Imm`). Widths are bits (32 or 64), sizes are bytes. Targets
are insn indices into the function the op came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

Reg = NewType("Reg", int)


@dataclass(frozen=True, slots=True)
class Imm:
    """A constant operand, already sign-extended as the instruction set says (RFC 9669 section 4.1)."""

    value: int


Operand = Reg | Imm


class AluKind(StrEnum):
    """RFC 9669 section 4.1; signed division and modulo are the ones with offset 1 there."""

    ADD, SUB, MUL, UDIV, SDIV, UMOD, SMOD = "add", "sub", "mul", "udiv", "sdiv", "umod", "smod"
    OR, AND, XOR, LSH, RSH, ARSH, MOV = "or", "and", "xor", "lsh", "rsh", "arsh", "mov"


class Condition(StrEnum):
    """RFC 9669 section 4.3. `SET` is dst & src != 0."""

    EQ, NE, SET = "eq", "ne", "set"
    UGT, UGE, ULT, ULE = "ugt", "uge", "ult", "ule"
    SGT, SGE, SLT, SLE = "sgt", "sge", "slt", "sle"


class AtomicKind(StrEnum):
    """RFC 9669 section 5.3; acquire and release are the kernel's."""

    ADD, OR, AND, XOR, XCHG, CMPXCHG = "add", "or", "and", "xor", "xchg", "cmpxchg"


@dataclass(frozen=True, slots=True)
class Alu:
    """dst = dst `kind` src (MOV: dst = src) at `width` bits; a 32-bit result zero-extends to 64."""

    kind: AluKind
    width: int
    dst: Reg
    src: Operand


@dataclass(frozen=True, slots=True)
class Negate:
    width: int
    dst: Reg


@dataclass(frozen=True, slots=True)
class MoveSigned:
    """dst = the low `bits` of src, sign-extended to `width`."""

    width: int
    bits: int
    dst: Reg
    src: Reg


@dataclass(frozen=True, slots=True)
class ByteOrder:
    """`to` is "le" or "be" (convert from host order, then zero-extend from `bits`) or "swap" (unconditional)."""

    to: str
    bits: int
    dst: Reg


@dataclass(frozen=True, slots=True)
class LoadImm:
    """dst = a 64-bit constant."""

    dst: Reg
    value: int


@dataclass(frozen=True, slots=True)
class LoadMap:
    """dst = the map itself, for a helper's argument."""

    dst: Reg
    map: str


@dataclass(frozen=True, slots=True)
class LoadMapValue:
    """dst = the address `offset` bytes into the (single or first) value of a map."""

    dst: Reg
    map: str
    offset: int


@dataclass(frozen=True, slots=True)
class LoadFunction:
    """dst = the address of a subprogram, for a callback argument."""

    dst: Reg
    name: str


@dataclass(frozen=True, slots=True)
class LoadSymbol:
    """dst = the address of a function or a variable of the kernel's, 0 where it has none of this name."""

    dst: Reg
    name: str


@dataclass(frozen=True, slots=True)
class Load:
    """dst = *(base + offset), `size` bytes, zero- or sign-extended to 64 bits."""

    dst: Reg
    base: Reg
    offset: int
    size: int
    signed: bool = False
    acquire: bool = False


@dataclass(frozen=True, slots=True)
class Store:
    """*(base + offset) = the low `size` bytes of src."""

    base: Reg
    offset: int
    size: int
    src: Operand
    release: bool = False


@dataclass(frozen=True, slots=True)
class Atomic:
    """One indivisible read-modify-write of `size` bytes at base + offset. With `fetch`, src receives the old value
    (CMPXCHG: r0 is compared with and receives it)."""

    kind: AtomicKind
    base: Reg
    offset: int
    size: int
    src: Reg
    fetch: bool


@dataclass(frozen=True, slots=True)
class LoadSkb:
    """r0 = `size` packet bytes at `offset` (+ index register), in host order; ends the program with 0 outside the packet.
    RFC 9669 section 5.5 (legacy ABS and IND)."""

    offset: int
    size: int
    index: Reg | None


@dataclass(frozen=True, slots=True)
class CallHelper:
    helper_id: int


@dataclass(frozen=True, slots=True)
class CallKfunc:
    name: str


@dataclass(frozen=True, slots=True)
class CallSubprogram:
    name: str


@dataclass(frozen=True, slots=True)
class Branch:
    """if (left `condition` right at `width` bits) goto target, else fall through."""

    condition: Condition
    width: int
    left: Reg
    right: Operand
    target: int


@dataclass(frozen=True, slots=True)
class Jump:
    target: int


@dataclass(frozen=True, slots=True)
class MayGoto:
    """The verifier's bounded loop exit: jumps to target when the kernel's budget is used up."""

    target: int


@dataclass(frozen=True, slots=True)
class Exit:
    pass


@dataclass(frozen=True, slots=True)
class Unlifted:
    """A valid instruction that no analysis here understands (gotox); `text` is its disassembly."""

    text: str


@dataclass(frozen=True, slots=True)
class AddressCast(Unlifted):
    """dst = src as the kernel (`to_user` false) or the process reaches a place of an arena: what knows nothing of arenas takes
    it for an instruction that it does not understand."""

    dst: Reg
    src: Reg
    to_user: bool


Op = (
    Alu | Negate | MoveSigned | ByteOrder | LoadImm | LoadMap | LoadMapValue | LoadFunction | LoadSymbol | Load | Store | Atomic
    | LoadSkb | CallHelper | CallKfunc | CallSubprogram | Branch | Jump | MayGoto | Exit | Unlifted
)  # fmt: skip
