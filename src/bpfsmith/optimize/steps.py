"""Arithmetic as rules and searches see it: steps on numbered registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from bpfsmith.ir import ops
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics.domain import B, Domain, V
from bpfsmith.source import Span

_CODES = {
    ops.AluKind.ADD: isa.BPF_ADD, ops.AluKind.SUB: isa.BPF_SUB, ops.AluKind.MUL: isa.BPF_MUL, ops.AluKind.OR: isa.BPF_OR,
    ops.AluKind.AND: isa.BPF_AND, ops.AluKind.XOR: isa.BPF_XOR, ops.AluKind.LSH: isa.BPF_LSH, ops.AluKind.RSH: isa.BPF_RSH,
    ops.AluKind.ARSH: isa.BPF_ARSH, ops.AluKind.MOV: isa.BPF_MOV, ops.AluKind.UDIV: isa.BPF_DIV, ops.AluKind.UMOD: isa.BPF_MOD,
}  # fmt: skip


class Step(NamedTuple):
    """One instruction on numbered registers. `what` is an AluKind, "neg", "be", "le", "swap" or "sx" (width `imm` bits to
    `width`); `src` None means the number `imm`."""

    what: str
    width: int
    dst: int
    src: int | None
    imm: int


@dataclass(frozen=True, slots=True)
class Window:
    """`steps` in order; registers 0 .. len(zeros)-1 hold inputs at the start. `output` is the register that counts; what it
    holds at the start may be used only if it is an input. `cpu` is the instruction set, 1 to 4."""

    steps: tuple[Step, ...]
    zeros: tuple[int, ...]
    output: int
    cpu: int

    @property
    def key(self) -> str:
        """The window as text, for a cache."""
        steps = ";".join(f"{s.what},{s.width},{s.dst},{'' if s.src is None else s.src},{s.imm}" for s in self.steps)
        return f"{self.cpu}|{','.join(map(str, self.zeros))}|{self.output}|{steps}"


def value_of(d: Domain[V, B], step: Step, registers: list[V], number: V | None = None) -> V:
    """What the step gives its destination; `number` stands in the place of `imm` where it is given."""
    match step.what:
        case "neg":
            return meaning.negate(d, step.width, registers[step.dst])
        case "be" | "le" | "swap":
            return meaning.byte_order(d, step.what, step.imm, registers[step.dst])
        case "sx":
            assert step.src is not None
            return meaning.move_signed(d, step.width, step.imm, registers[step.src])
        case _:
            source = registers[step.src] if step.src is not None else d.const(64, step.imm) if number is None else number
            return meaning.alu(d, ops.AluKind(step.what), step.width, registers[step.dst], source)


def as_step(op: ops.Op) -> Step | None:
    """The instruction as a step on its own registers, if it is one."""
    match op:
        case ops.Alu(kind=kind, width=width, dst=dst, src=src) if kind in _CODES and src != 10:
            if isinstance(src, ops.Imm):
                return Step(kind, width, dst, None, src.value)
            return Step(kind, width, dst, src, 0)
        case ops.Negate(width=width, dst=dst):
            return Step("neg", width, dst, None, 0)
        case ops.ByteOrder(to=to, bits=bits, dst=dst):
            return Step(to, 64, dst, None, bits)
        case ops.MoveSigned(width=width, bits=bits, dst=dst, src=src):
            return Step("sx", width, dst, src, bits)
        case _:
            return None


def as_insn(step: Step, registers: tuple[int, ...], span: Span | None) -> Insn:
    """The step on these machine registers."""
    dst = registers[step.dst]
    src = 0 if step.src is None else registers[step.src]
    alu = isa.BPF_ALU64 if step.width == 64 else isa.BPF_ALU
    match step.what:
        case "neg":
            return Insn(alu | isa.BPF_NEG, dst, span=span)
        case "be" | "le":
            order = isa.BPF_TO_BE if step.what == "be" else isa.BPF_TO_LE
            return Insn(isa.BPF_ALU | isa.BPF_END | order, dst, imm=step.imm, span=span)
        case "swap":
            return Insn(isa.BPF_ALU64 | isa.BPF_END, dst, imm=step.imm, span=span)
        case "sx":
            return Insn(alu | isa.BPF_MOV | isa.BPF_X, dst, src, step.imm, span=span)
        case _:
            code = alu | _CODES[ops.AluKind(step.what)]
            if step.src is None:
                return Insn(code | isa.BPF_K, dst, imm=step.imm, span=span)
            return Insn(code | isa.BPF_X, dst, src, span=span)
