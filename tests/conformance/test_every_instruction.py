"""Encoder, decoder, disassembler and assembler agree with the table of all instructions, and so does clang's assembler."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bpfsmith.isa.asm import assemble_insns
from bpfsmith.isa.disasm import disassemble
from bpfsmith.isa.encoding import decode, encode
from bpfsmith.isa.forms import FORMS, Group, Operand, find
from bpfsmith.isa.validate import problems
from tests.conformance.instructions import INSTRUCTIONS, Instruction

each = pytest.mark.parametrize("row", INSTRUCTIONS, ids=str)


@each
def test_the_encoding_decodes_to_the_fields_of_the_row(row: Instruction) -> None:
    (insn,) = decode(row.encoding)
    assert insn.opcode == row.opcode
    assert row.src in (None, insn.src_reg)
    assert row.offset in (None, insn.offset)
    assert row.imm in (None, insn.imm)
    assert encode([insn]) == row.encoding


@each
def test_text_and_encoding_are_two_spellings_of_one_instruction(row: Instruction) -> None:
    (insn,) = decode(row.encoding)
    assert disassemble(insn) == row.text
    assert assemble_insns(row.text) == (insn,)


@each
def test_a_row_is_a_form_of_its_group_and_leaves_open_what_the_registry_leaves_open(row: Instruction) -> None:
    (insn,) = decode(row.encoding)
    form = find(insn)
    assert form is not None
    assert form.group == row.group
    operands = {piece.field for piece in form.pieces if isinstance(piece, Operand)}
    assert {"src_reg", "offset", "imm"} & operands == {
        name for name, value in (("src_reg", row.src), ("offset", row.offset), ("imm", row.imm)) if value is None
    }


def test_there_is_a_row_for_each_form_and_no_other() -> None:
    rows = [find(decode(row.encoding)[0]) for row in INSTRUCTIONS]
    forms = [form for form in FORMS if form.group is not Group.INTERNAL]
    assert len(rows) == len(forms) == len(set(rows))
    assert set(rows) == set(forms)


@each
def test_a_row_is_valid_where_its_jump_has_somewhere_to_go(row: Instruction) -> None:
    (insn,) = decode(row.encoding)
    after = assemble_insns("r0 = 0\nr0 = 0\nr0 = 0\nexit")
    assert problems([insn, *after]) == ()


# --- clang's assembler ------------------------------------------------------------------------------------------------
# What clang cannot say, or says of symbols only.
_NOT_IN_CLANG = re.compile(r"map\[|btf\[|subprog\[|kernel-function|call pc|may_goto|addr_space_cast|gotox|skb\[")
# Clang has words of its own for exchanges, and calls the registers of narrow atomics by their lower halves.
_CLANG_SPELLING = (
    (r"(\w) ([+-])(\d+)\)", r"\1 \2 \3)"),
    (r"\bpc\+", "+"),
    (r"call \w+#", "call "),
    (r"(r\d) = atomic_(xchg|cmpxchg)\(\(u32 \*\)\((.*?)\), (.*)\)", r"\1 = \g<2>32_32(\3, \4)"),
    (r"atomic64_(xchg|cmpxchg)\(\(u64 \*\)\((.*?)\)", r"\1_64(\2"),
    (r"atomic64_", "atomic_"),
)
_NARROW = re.compile(r"lock \*\(u32|\((u8|u16|u32) \*\)\(r\d \+ 8\),|load_acquire\(\((u8|u16|u32)|32_32")


def _clang_text(text: str) -> str:
    for pattern, replacement in _CLANG_SPELLING:
        text = re.sub(pattern, replacement, text)
    if _NARROW.search(text):
        text = re.sub(r"\br(\d)\b(?! \+ 8)", r"w\1", text)
    return text


def test_clang_assembles_the_texts_to_the_same_bytes(tmp_path: Path) -> None:
    rows = [row for row in INSTRUCTIONS if not _NOT_IN_CLANG.search(row.text)]
    assert len(rows) > 150
    source, image = tmp_path / "all.s", tmp_path / "all.o"
    source.write_text("".join(_clang_text(row.text) + "\n" for row in rows))
    command = [sys.executable, "-m", "ziglang", "clang", "-target", "bpf", "-mcpu=v4", "-c", str(source), "-o", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"".join(row.encoding for row in rows) in image.read_bytes()
