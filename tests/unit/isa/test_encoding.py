"""Bytes that are no sequence of instructions, and insns that have no encoding, are refused."""

from __future__ import annotations

import pytest

from bpfsmith.diagnostic import InputError
from bpfsmith.isa.encoding import decode, encode
from bpfsmith.isa.insn import LD_IMM64, Insn

WIDE = encode([Insn(LD_IMM64, 1, imm=-2)])


def test_a_wide_insn_is_one_insn_with_a_signed_imm() -> None:
    assert WIDE.hex(" ", 8) == "18010000feffffff 00000000ffffffff"
    assert decode(WIDE) == (Insn(LD_IMM64, 1, imm=-2),)


def test_the_offset_of_a_map_value_is_the_upper_half() -> None:
    (insn,) = decode(encode([Insn(LD_IMM64, 1, 2, imm=24 << 32 | 5)]))
    assert (insn.imm >> 32, insn.imm & 0xFFFFFFFF) == (24, 5)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"\x95" * 7, "7 bytes are not a whole number of 8-byte slots"),
        (WIDE[:8], "slot 0: the code ends within a wide insn"),
        (WIDE[:8] + b"\x95" + WIDE[9:], "slot 1: the second slot of a wide insn sets more than its imm"),
        (WIDE[:8] + b"\x00\x01" + WIDE[10:], "slot 1: the second slot"),
        (WIDE[:8] + b"\x00\x00\x01" + WIDE[11:], "slot 1: the second slot"),
    ],
)
def test_malformed_bytes_are_refused(code: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        decode(code)
    assert caught.value.diagnostics[0].id == "malformed-bytecode"


@pytest.mark.parametrize(
    "insn",
    [
        Insn(0x07, 16),
        Insn(0x07, 0, -1),
        Insn(0x05, offset=1 << 15),
        Insn(0x07, imm=1 << 31),
        Insn(LD_IMM64, imm=1 << 63),
        Insn(256),
    ],
)
def test_a_field_that_does_not_fit_is_refused(insn: Insn) -> None:
    with pytest.raises(InputError, match=r"does not fit|do not fit"):
        encode([insn])
