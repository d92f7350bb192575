"""The machine code of a loaded program as instructions; the only module that knows the disassembler."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfsmith.diagnostic import Diagnostic, Unsupported

if TYPE_CHECKING:
    import capstone


@dataclass(frozen=True, slots=True)
class MachineInsn:
    """One instruction of the image: its offset and length in bytes, and its text."""

    offset: int
    length: int
    text: str

    def __str__(self) -> str:
        return f"{self.offset:5x}: {self.text}"


def listing(jited: bytes, machine: str = "") -> tuple[MachineInsn, ...]:
    """The instructions of a jited image, by default of this machine's kind ("x86_64" or "aarch64", as uname says it).

    Bytes that are no instruction (constants, padding traps) come out one by one as ".byte". Prologues differ by kernel: compare
    with the image of an empty program. Unsupported `unsupported-machine`.
    """
    return tuple(_disassemble(_disassembler(machine or platform.machine()), jited))


def count(jited: bytes, machine: str = "") -> int:
    """How many instructions a jited image has, as `listing` sees it."""
    return len(listing(jited, machine))


def _disassembler(machine: str) -> capstone.Cs:
    import capstone  # here: most commands never look at machine code

    match machine:
        case "x86_64":
            return capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        case "aarch64":
            return capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
        case _:
            raise Unsupported(
                Diagnostic(
                    "unsupported-machine",
                    f"machine code of {machine} cannot be disassembled",
                    notes=("x86_64 and aarch64 are known",),
                    help="leave the machine instructions out, or look at another machine's image",
                )
            )


def _disassemble(engine: capstone.Cs, code: bytes) -> Iterator[MachineInsn]:
    at = 0
    while at < len(code):
        for insn in engine.disasm(code[at:], at):
            yield MachineInsn(insn.address, insn.size, f"{insn.mnemonic} {insn.op_str}".rstrip())
            at = insn.address + insn.size
        if at < len(code):
            yield MachineInsn(at, 1, f".byte {code[at]:#04x}")
            at += 1
