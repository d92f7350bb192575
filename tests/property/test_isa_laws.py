"""Laws of the instruction set: bytes, fields and text are three spellings of one thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfsmith.diagnostic import InputError
from bpfsmith.isa.asm import assemble, assemble_insns
from bpfsmith.isa.disasm import disassemble
from bpfsmith.isa.encoding import decode, encode
from bpfsmith.isa.forms import FORMS, Form, Group, Operand, find
from bpfsmith.isa.insn import LD_IMM64, Insn, slot_starts
from bpfsmith.isa.tables import HELPERS
from bpfsmith.isa.validate import problems

S16 = st.integers(-(1 << 15), (1 << 15) - 1)
S32 = st.integers(-(1 << 31), (1 << 31) - 1)
S64 = st.integers(-(1 << 63), (1 << 63) - 1)
REGISTERS = {"dst_reg": st.integers(0, 10), "src_reg": st.integers(0, 10)}
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,12}", fullmatch=True).filter(
    lambda name: name not in ("pc", "fd", "idx", "id")
)

ANY_INSN = st.integers(0, 255).flatmap(
    lambda opcode: st.builds(
        Insn, st.just(opcode), st.integers(0, 15), st.integers(0, 15), S16, S64 if opcode == LD_IMM64 else S32
    )
)


@st.composite
def valid_insns(draw: st.DrawFn) -> Insn:
    """An insn of any form, any operands."""
    form = draw(st.sampled_from([form for form in FORMS if form.group is not Group.INTERNAL]))
    fields = {"opcode": form.opcode, **form.fixed}
    for piece in form.pieces:
        if isinstance(piece, Operand) and piece.field not in form.fixed:
            fields[piece.field] = draw(_values(form, piece))
    return Insn(**fields, symbol=None, span=None)


def _values(form: Form, operand: Operand) -> st.SearchStrategy[int]:
    if operand.field in REGISTERS:
        return REGISTERS[operand.field]
    if operand is Operand.HELPER:
        return st.one_of(S32, st.sampled_from(sorted(HELPERS)))
    return S16 if operand.field == "offset" else S64 if form.opcode == LD_IMM64 else S32


@given(st.lists(ANY_INSN, max_size=8))
def test_decoding_undoes_encoding_also_for_what_is_no_instruction(insns: list[Insn]) -> None:
    assert decode(encode(insns)) == tuple(insns)


@given(st.binary(max_size=64))
def test_encoding_undoes_decoding_or_the_bytes_are_refused_with_a_diagnostic(code: bytes) -> None:
    try:
        insns = decode(code)
    except InputError as refused:
        assert refused.diagnostics[0].id == "malformed-bytecode"
    else:
        assert encode(insns) == code
        assert slot_starts(insns)[-1] * 8 == len(code)


@given(valid_insns())
def test_the_assembler_reads_back_what_the_disassembler_writes(insn: Insn) -> None:
    assert assemble_insns(disassemble(insn)) == (insn,)


@given(ANY_INSN)
def test_what_is_no_instruction_has_a_text_too(insn: Insn) -> None:
    if find(insn) is None:
        assert assemble_insns(disassemble(insn)) == (insn,)
        assert problems([insn])


@given(st.sampled_from([1, 2, 3, 4]), NAMES, st.integers(0, (1 << 32) - 1))
def test_references_by_name_survive_the_text(src: int, name: str, offset: int) -> None:
    imm = (offset << 32) - (1 << 64 if offset >> 31 else 0) if src == 2 else 0
    insn = Insn(LD_IMM64, 1, src, imm=imm, symbol=name)
    assert assemble_insns(disassemble(insn)) == (insn,)


@given(st.sampled_from([1, 2]), NAMES)
def test_calls_by_name_survive_the_text(src: int, name: str) -> None:
    insn = Insn(0x85, 0, src, imm=0 if src == 1 else 77, symbol=name)
    assert assemble_insns(disassemble(insn)) == (insn,)


@given(st.lists(valid_insns(), min_size=1, max_size=6))
def test_text_is_read_line_by_line(insns: list[Insn]) -> None:
    read = assemble_insns("\n".join(map(disassemble, insns)))
    assert read == tuple(insns)
    assert [insn.span.line for insn in read if insn.span] == list(range(1, len(insns) + 1))


@given(st.text(max_size=200))
def test_any_text_is_assembled_or_refused_with_a_place_for_each_finding(text: str) -> None:
    try:
        assemble(text, "any.s")
    except InputError as refused:
        lines = text.split("\n")
        for finding in refused.diagnostics:
            assert finding.id == "asm-syntax"
            if finding.primary is not None:
                span = finding.primary.span
                assert 1 <= span.line <= len(lines)
                assert 1 <= span.column <= span.end_column <= len(lines[span.line - 1]) + 1


@given(valid_insns(), st.integers(0, 80), st.sampled_from("@5rwx+ ]#"))
def test_a_line_with_a_slip_is_read_or_refused_and_never_crashes(insn: Insn, at: int, slip: str) -> None:
    text = disassemble(insn)
    text = text[: at % (len(text) + 1)] + slip + text[at % (len(text) + 1) :]
    try:
        assemble_insns(text)
    except InputError as refused:
        assert refused.diagnostics[0].primary is not None


def test_the_laws_can_fail() -> None:
    with pytest.raises(InputError):
        encode([Insn(0x07, imm=1 << 31)])
