"""Is this sequence of instructions well formed? The questions that need no knowledge of what a program does.

The verifier asks them too (kernel/bpf/verifier.c: check_subprogs, resolve_pseudo_ldimm64, "uses reserved fields"); what it
asks beyond, about types and bounds, is the kernel's to answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bpfsmith.diagnostic import Diagnostic, Label
from bpfsmith.isa.forms import Form, Group, Operand, by_opcode, find
from bpfsmith.isa.insn import BPF_EXIT, BPF_JA, BPF_JMP, BPF_JMP32, BPF_X, Insn, slot_starts

MAX_REGISTER = 10

_ENDS = frozenset({BPF_JMP | BPF_EXIT, BPF_JMP | BPF_JA, BPF_JMP32 | BPF_JA, BPF_JMP | BPF_JA | BPF_X})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the insn at `insn_idx`, which starts at `slot`."""

    insn_idx: int
    slot: int
    insn: Insn
    message: str

    def diagnostic(self) -> Diagnostic:
        """The problem as a `malformed-bytecode` diagnostic, at the insn's source line if it has one."""
        return Diagnostic(
            "malformed-bytecode",
            f"insn {self.insn_idx} (slot {self.slot}): {self.message}",
            primary=Label(self.insn.span) if self.insn.span else None,
            help="recompile the object; `bpfsmith disasm` shows the fields of each insn",
        )


def problems(insns: Sequence[Insn]) -> tuple[Problem, ...]:
    """What is not well formed in one function (or one linked program), in program order; empty when all is.

    Looks at opcodes, registers, fields that must be zero, where jumps and local calls lead, and whether control can run off the
    end. References with a symbol are taken to be resolved elsewhere.
    """
    starts = slot_starts(insns)
    known = frozenset(starts[:-1])
    found = [
        Problem(index, starts[index], insn, message)
        for index, insn in enumerate(insns)
        for message in _problems_of(insn, starts[index], known, starts[-1])
    ]
    if insns and insns[-1].opcode not in _ENDS:
        found.append(
            Problem(len(insns) - 1, starts[-2], insns[-1], "control runs off the end: the last insn is no exit or goto")
        )
    return tuple(found)


def _problems_of(insn: Insn, slot: int, starts: frozenset[int], end: int) -> Iterator[str]:
    form = find(insn)
    if form is None:
        yield _why_not(insn)
        return
    if form.group is Group.INTERNAL:
        yield f"opcode {insn.opcode:#04x} is for the kernel's own use"
    for name in ("dst_reg", "src_reg"):
        if name not in form.fixed and getattr(insn, name) > MAX_REGISTER:
            yield f"there is no register r{getattr(insn, name)}, they are r0 to r{MAX_REGISTER}"
    target = _target(form, insn, slot)
    if target is None or target in starts:
        return
    yield f"leads to slot {target}, " + ("within a wide insn" if 0 <= target < end else f"outside of the {end} slots")


def _why_not(insn: Insn) -> str:
    forms = by_opcode().get(insn.opcode)
    if forms is None:
        return f"opcode {insn.opcode:#04x} is no instruction"
    for form in forms:
        if form.selects(insn):
            fields = " and ".join(f"{name} {getattr(insn, name)}" for name in form.nonzero_unused(insn))
            return f"opcode {insn.opcode:#04x} with {fields} is no instruction: they must be zero"
    fixed = sorted({name for form in forms for name in form.fixed})
    return f"opcode {insn.opcode:#04x} with {' and '.join(f'{name} {getattr(insn, name)}' for name in fixed)} is no instruction"


def _target(form: Form, insn: Insn, slot: int) -> int | None:
    """The slot that the insn may jump to, call or take the address of; None when it names no slot."""
    if Operand.TARGET in form.pieces:
        return slot + 1 + insn.offset
    if Operand.LONG_TARGET in form.pieces:
        return slot + 1 + insn.imm
    if insn.symbol is None and (Operand.CALLEE in form.pieces or Operand.FUNCTION in form.pieces):
        return slot + 1 + insn.imm
    return None
