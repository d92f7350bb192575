"""The verifier's log and `log_text` have the same words for every instruction that the kernel lets into a log.

Each row of the conformance table is the first insn of a program of its own. Most of these programs are rejected, but not
before the verifier has printed the insn; what is compared is the line of slot 0.
"""

from __future__ import annotations

import re

import pytest

from bpfsmith.isa.asm import assemble_insns
from bpfsmith.isa.disasm import listing, log_text
from bpfsmith.isa.encoding import decode, encode
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.progtype import for_section
from tests.conformance.instructions import INSTRUCTIONS, Instruction
from tests.kernel.rawload import load

pytestmark = pytest.mark.kernel

SOCKET = for_section("socket").number  # the one type that may use the packet instructions
_REST = assemble_insns("r0 = 0\nr0 = 0\nr0 = 0\nexit")
# The kernel prints nothing of a program with unreachable insns.
_REST_BEHIND = {
    "exit": (),
    "goto pc+2": assemble_insns("back: r0 = 0\nr0 = 0\nif r1 == 0 goto back\nexit"),
    "gotol pc+2": assemble_insns("back: r0 = 0\nr0 = 0\nif r1 == 0 goto back\nexit"),
    "call pc+2": assemble_insns("r0 = 0\nexit\nr0 = 0\nexit"),
}
_NAMES_A_KERNEL_OBJECT = re.compile(r"map\[|btf\[|subprog\[|kernel-function")
_NEWER_THAN_SOME_KERNELS = {"gotox r1"} | {row.text for row in INSTRUCTIONS if row.group == "kernel"}


def _line(log: str, slot: int) -> str | None:
    """The insn that the log shows at `slot`, as `5: (07) r1 += 7  ; R1=..` or, with live registers, `5: 01........ (07) ..`."""
    found = re.search(rf"^ *{slot}: (?:[0-9.]{{10,}} )?(\([0-9a-f]{{2}}\) .*?)(?: *;.*)?$", log, re.MULTILINE)
    return found[1].rstrip() if found else None


@pytest.mark.parametrize("row", [row for row in INSTRUCTIONS if not _NAMES_A_KERNEL_OBJECT.search(row.text)], ids=str)
def test_the_log_has_the_text_of(row: Instruction) -> None:
    (insn,) = decode(row.encoding)
    result = load(encode([insn, *_REST_BEHIND.get(row.text, _REST)]), SOCKET)
    printed = _line(result.log, 0)
    if printed is None and row.text in _NEWER_THAN_SOME_KERNELS:
        assert "opcode" in result.log or "reserved" in result.log, result.log  # this kernel knows no such instruction
        return
    assert printed == log_text(insn), result.log


OPERANDS = """
    w1 = -1
    r1 = -2147483648
    r1 = 0xfedcba9876543210 ll
    r1 = 0x0 ll
    if r1 == 0xffffffff goto pc+0
    if w1 s< 0x80000000 goto pc+0
    if r1 s> 0x5 goto pc+0
    *(u32 *)(r10 -4) = -1
    *(u64 *)(r10 -16) = -7
    r2 = *(u16 *)(r10 -4)
    r2 = *(s8 *)(r10 -1)
    gotol pc+0
    goto pc+0
    call bpf_get_smp_processor_id#8
    r0 = 0
    exit
"""


def test_the_log_agrees_on_signs_and_bases_of_operands() -> None:
    insns = assemble_insns(OPERANDS)
    result = load(encode(insns), SOCKET)
    assert result.error == 0, result.log
    for slot, insn, _ in listing(insns):
        assert _line(result.log, slot) == log_text(insn)


def test_an_unknown_helper_has_the_number_and_the_name_that_the_log_gives_it() -> None:
    insns = [Insn(0x85, imm=99999), *_REST]
    result = load(encode(insns), SOCKET)
    assert _line(result.log, 0) == log_text(insns[0]) == "(85) call unknown#99999"
