"""What is said about instructions that are not well formed."""

from __future__ import annotations

import pytest

from bpfsmith.isa.asm import assemble_insns
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.validate import problems


def messages(text: str) -> list[str]:
    return [problem.message for problem in problems(assemble_insns(text))]


def test_a_well_formed_program_has_no_problems() -> None:
    assert messages("r1 = 1 ll\nif r1 == 0 goto out\ngotol out\nout: r0 = 0\nexit") == []
    assert problems([]) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".insn opcode=0x8d\nexit", "opcode 0x8d is no instruction"),
        (".insn opcode=0x07 dst=12\nexit", "there is no register r12, they are r0 to r10"),
        (
            ".insn opcode=0x07 offset=3 src=1\nexit",
            "opcode 0x07 with src_reg 1 and offset 3 is no instruction: they must be zero",
        ),
        (".insn opcode=0xd4 imm=8\nexit", "opcode 0xd4 with imm 8 is no instruction"),
        (".insn opcode=0xc2\nexit", "opcode 0xc2 is for the kernel's own use"),
        ("goto pc+1\nexit", "leads to slot 2, outside of the 2 slots"),
        ("goto pc-2\nexit", "leads to slot -1, outside of the 2 slots"),
        ("if r1 == 0 goto pc+1\nr1 = 1 ll\nexit", "leads to slot 2, within a wide insn"),
        ("call pc+7\nexit", "leads to slot 8, outside of the 2 slots"),
        ("r2 = subprog[+0]\nexit", "leads to slot 1, within a wide insn"),
        ("r0 = 0", "control runs off the end: the last insn is no exit or goto"),
    ],
)
def test_a_problem_is_named(text: str, message: str) -> None:
    assert messages(text) == [message]


def test_a_call_by_name_is_judged_when_it_is_linked() -> None:
    assert messages("call other\nr2 = subprog[other]\nexit") == []


def test_a_problem_knows_its_place() -> None:
    insns = [*assemble_insns("r1 = 1 ll\nr0 = 0"), Insn(0xFF), *assemble_insns("exit")]
    (problem,) = problems(insns)
    assert (problem.insn_idx, problem.slot) == (2, 3)
    assert problem.diagnostic().message == "insn 2 (slot 3): opcode 0xff is no instruction"
