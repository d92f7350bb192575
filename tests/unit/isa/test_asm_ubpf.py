"""The text of public test vectors: each line against the kernel's text for the same instruction."""

from __future__ import annotations

import pytest

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.isa import asm_ubpf
from bpfsmith.isa.asm import assemble_insns
from bpfsmith.isa.asm_ubpf import assemble, forms
from bpfsmith.isa.encoding import encode
from bpfsmith.isa.forms import find

SAME = """
mov %r0, 1                          | r0 = 1
mov %r0, -1                         | r0 = -1
mov %r0, 0xffffffff                 | r0 = -1
mov %r0, 0xffffffffffffffff         | r0 = -1
mov %r0, 2147483648                 | r0 = -2147483648
mov %r10, %r9                       | r10 = r9
mov64 %r1, %r2                      | r1 = r2
mov32 %r1, %r2                      | w1 = w2
mov32 %r1, 0x7fffffff               | w1 = 2147483647
MOV %R1, %R2                        | r1 = r2
mov r1,r2                           | r1 = r2
add %r1, 7                          | r1 += 7
add32 %r1, %r2                      | w1 += w2
sub %r1, %r2                        | r1 -= r2
sub32 %r1, 7                        | w1 -= 7
mul %r1, -3                         | r1 *= -3
mul32 %r1, %r2                      | w1 *= w2
div %r1, %r2                        | r1 /= r2
div32 %r1, 3                        | w1 /= 3
sdiv %r1, %r2                       | r1 s/= r2
sdiv %r1, -10                       | r1 s/= -10
sdiv32 %r1, 3                       | w1 s/= 3
mod %r1, %r2                        | r1 %= r2
mod32 %r1, 3                        | w1 %= 3
smod %r1, %r2                       | r1 s%= r2
smod32 %r1, -3                      | w1 s%= -3
or %r1, %r2                         | r1 |= r2
or32 %r1, 0x80                      | w1 |= 128
and %r1, 0xff                       | r1 &= 255
and32 %r1, %r2                      | w1 &= w2
xor %r1, %r2                        | r1 ^= r2
xor32 %r1, 1                        | w1 ^= 1
lsh %r1, 63                         | r1 <<= 63
lsh32 %r1, %r2                      | w1 <<= w2
rsh %r1, %r2                        | r1 >>= r2
rsh32 %r1, 8                        | w1 >>= 8
arsh %r1, 8                         | r1 s>>= 8
arsh32 %r1, %r2                     | w1 s>>= w2
neg %r3                             | r3 = -r3
neg64 %r3                           | r3 = -r3
neg32 %r3                           | w3 = -w3
movsx832 %r1, %r2                   | w1 = (s8)w2
movsx1632 %r1, %r2                  | w1 = (s16)w2
movsx864 %r1, %r2                   | r1 = (s8)r2
movsx1664 %r1, %r2                  | r1 = (s16)r2
movsx3264 %r1, %r2                  | r1 = (s32)r2
movsx8to64 %r1, %r2                 | r1 = (s8)r2
le16 %r0                            | r0 = le16 r0
le32 %r0                            | r0 = le32 r0
le64 %r0                            | r0 = le64 r0
be16 %r1                            | r1 = be16 r1
be32 %r1                            | r1 = be32 r1
be64 %r1                            | r1 = be64 r1
swap16 %r1                          | r1 = bswap16 r1
swap32 %r1                          | r1 = bswap32 r1
swap64 %r1                          | r1 = bswap64 r1
bswap16 %r1                         | r1 = bswap16 r1
lddw %r1, 0x1122334455667788        | r1 = 0x1122334455667788 ll
lddw %r1, -1                        | r1 = 0xffffffffffffffff ll
lddw %r1, 0xffffffffffffffff        | r1 = 0xffffffffffffffff ll
lddw %r1, 0x80000000                | r1 = 0x80000000 ll
ldxb %r0, [%r1+2]                   | r0 = *(u8 *)(r1 +2)
ldxh %r0, [%r1]                     | r0 = *(u16 *)(r1 +0)
ldxw %r0, [%r1 - 4]                 | r0 = *(u32 *)(r1 -4)
ldxdw %r0,[%r10-0x8]                | r0 = *(u64 *)(r10 -8)
ldxsb %r0, [%r1+2]                  | r0 = *(s8 *)(r1 +2)
ldxsh %r0, [%r1+2]                  | r0 = *(s16 *)(r1 +2)
ldxsw %r0, [%r1+2]                  | r0 = *(s32 *)(r1 +2)
ldxbsx %r0, [%r1+2]                 | r0 = *(s8 *)(r1 +2)
stb [%r10-1], 0xff                  | *(u8 *)(r10 -1) = 255
sth [%r1+2], -2                     | *(u16 *)(r1 +2) = -2
stw [%r1+4], 0xffffffff             | *(u32 *)(r1 +4) = -1
stdw [%r10-8], 5                    | *(u64 *)(r10 -8) = 5
stxb [%r1], %r2                     | *(u8 *)(r1 +0) = r2
stxh [%r1+32767], %r2               | *(u16 *)(r1 +32767) = r2
stxw [%r1-32768], %r2               | *(u32 *)(r1 -32768) = r2
stxdw [%r1+8], %r2                  | *(u64 *)(r1 +8) = r2
lock add [%r1+8], %r2               | lock *(u64 *)(r1 +8) += r2
lock add32 [%r1], %r2               | lock *(u32 *)(r1 +0) += r2
lock or [%r1], %r2                  | lock *(u64 *)(r1 +0) |= r2
lock and32 [%r1], %r2               | lock *(u32 *)(r1 +0) &= r2
lock xor64 [%r1], %r2               | lock *(u64 *)(r1 +0) ^= r2
lock fetch_add [%r10-8], %r2        | r2 = atomic64_fetch_add((u64 *)(r10 -8), r2)
lock fetch_or32 [%r10-8], %r2       | r2 = atomic_fetch_or((u32 *)(r10 -8), r2)
lock fetch_and [%r1], %r2           | r2 = atomic64_fetch_and((u64 *)(r1 +0), r2)
lock fetch_xor32 [%r1], %r2         | r2 = atomic_fetch_xor((u32 *)(r1 +0), r2)
lock xchg [%r1], %r2                | r2 = atomic64_xchg((u64 *)(r1 +0), r2)
lock xchg32 [%r1], %r2              | r2 = atomic_xchg((u32 *)(r1 +0), r2)
lock cmpxchg [%r1+8], %r2           | r0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r2)
lock cmpxchg32 [%r1], %r2           | r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)
ja +2                               | goto pc+2
ja -2                               | goto pc-2
ja 2                                | goto pc+2
ja32 +70000                         | gotol pc+70000
jeq %r1, 0x10, +3                   | if r1 == 0x10 goto pc+3
jeq32 %r1, %r2, +3                  | if w1 == w2 goto pc+3
jne %r1, %r2, -1                    | if r1 != r2 goto pc-1
jgt %r1, 0xffffffff, +1             | if r1 > 0xffffffff goto pc+1
jge32 %r1, 5, +1                    | if w1 >= 0x5 goto pc+1
jlt %r1, %r2, +1                    | if r1 < r2 goto pc+1
jle %r1, 5, +1                      | if r1 <= 0x5 goto pc+1
jsgt %r1, -5, +1                    | if r1 s> 0xfffffffb goto pc+1
jsge32 %r1, %r2, +1                 | if w1 s>= w2 goto pc+1
jslt %r1, 5, +1                     | if r1 s< 0x5 goto pc+1
jsle %r1, %r2, +1                   | if r1 s<= r2 goto pc+1
jset %r1, 8, +1                     | if r1 & 0x8 goto pc+1
jset32 %r1, %r2, +1                 | if w1 & w2 goto pc+1
call 5                              | call bpf_ktime_get_ns#5
call bpf_ktime_get_ns               | call bpf_ktime_get_ns#5
call local +7                       | call pc+7
exit                                | exit
"""
ROWS = [tuple(part.strip() for part in line.split("|", 1)) for line in SAME.strip().splitlines()]


@pytest.mark.parametrize(("text", "kernel"), ROWS, ids=[row[0] for row in ROWS])
def test_each_line_is_what_the_kernel_writes_so(text: str, kernel: str) -> None:
    """Law: both dialects give the same bytes for the same instruction."""
    assert encode(assemble(text, "v")) == encode(assemble_insns(kernel))


@pytest.mark.parametrize("mnemonic", [name for name in forms() if name != "callx"])
def test_each_mnemonic_is_an_instruction(mnemonic: str) -> None:
    """Law: no row of the table encodes anything that the instruction set does not have."""
    for operand in ("%r2", "3"):
        operands = {
            "dst": "%r1", "src": "%r2", "value": operand, "number": "3", "wide": "3", "dst_place": "[%r1+8]",
            "src_place": "[%r2+8]", "target": "+1", "long_target": "+1", "helper": "5",
        }  # fmt: skip
        text = f"{mnemonic} {', '.join(operands[item] for item in forms()[mnemonic].operands)}"
        (insn,) = assemble(text, "v")
        assert find(insn) is not None, text


@pytest.mark.parametrize(
    ("text", "distances"),
    [
        ("jeq %r1, 0, exit; mov %r0, 1; exit; exit", [1, 0, 0, 0]),
        ("exit; ja exit", [0, -2]),
        ("ja exit; exit; exit: mov %r0, 1; exit", [1, 0, 0, 0]),
    ],
)
def test_the_label_exit_is_the_next_exit_where_none_is_written(text: str, distances: list[int]) -> None:
    assert [insn.offset for insn in assemble(text.replace("; ", "\n"), "v")] == distances


def test_the_example_in_the_manual_assembles() -> None:
    manual = asm_ubpf.__doc__ or ""
    insns = assemble(manual[manual.index("            mov %r6") : manual.index("    mov add")], "manual")
    kernel = """
            r6 = 10
            w0 = -1
    again:  if r6 == 0 goto done
            r6 -= 1
            *(u64 *)(r10 -8) = r6
            r6 = atomic64_fetch_add((u64 *)(r10 -8), r6)
            r0 = *(u64 *)(r10 -8)
            call pc+2
            goto again
    done:   exit
            r0 += r0
            exit
    """
    assert encode(insns) == encode(assemble_insns(kernel))
    assert insns[0].span is not None


def test_labels_count_slots_and_lead_both_ways() -> None:
    insns = assemble("ja over\nback: exit\nover: lddw %r0, 1\n ja32 back\nnext: jeq %r0, 0, next", "v")
    assert [(insn.offset, insn.imm) for insn in insns] == [(1, 0), (0, 0), (0, 1), (0, -4), (-1, 0)]


def test_comments_begin_anywhere() -> None:
    assert len(assemble("# nothing\nmov %r0, 1# one\nexit;two\n// three\n\n", "v")) == 2


# --- what is wrong ----------------------------------------------------------------------------------------------------
def findings(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(InputError) as caught:
        assemble(text, "v")
    return caught.value.diagnostics


WRONG = {
    "frobnicate %r0": "frobnicate",
    "movsx %r0, %r1": "movsx",
    "movsx816 %r0, %r1": "movsx816",
    "mov %r11, 1": "r11",
    "mov %r0": "",
    "mov %r0, ": "",
    "mov %r0, 1, 2": ",",
    "mov %r0 1": "1",
    "mov %r0, 0x100000000": "0x100000000",
    "mov %r0, -2147483649": "-2147483649",
    "lddw %r0, 0x10000000000000000": "0x10000000000000000",
    "mov %r0, " + "9" * 5000: "9" * 5000,
    "add 1, %r0": "1",
    "ldxw %r0, [%r1+32768]": "+32768",
    "ldxw %r0, [%r1": "",
    "ldxw %r0, %r1": "%",
    "ldxsdw %r0, [%r1]": "ldxsdw",
    "stw [%r1], %r2": "%",
    "stxw [%r1], 5": "5",
    "lock sub [%r1], %r2": "lock sub",
    "lock": "lock",
    "ja nowhere": "nowhere",
    "ja +32768": "+32768",
    "call %r1": "%",
    "call memfrob": "memfrob",
    "callx 3": "3",
    "r0 = 1": "r0",
    "exit 1": "1",
    "?": "?",
}


@pytest.mark.parametrize("text", WRONG, ids=[text[:20] for text in WRONG])
def test_a_wrong_line_is_said_to_be_wrong_where_it_is(text: str) -> None:
    (finding,) = findings(f"mov %r0, 0\n{text}\nexit\n")
    assert finding.id == "asm-syntax"
    assert finding.primary is not None
    span = finding.primary.span
    assert (span.line, text[span.column - 1 : span.end_column - 1]) == (2, WRONG[text])


def test_all_wrong_lines_are_reported_in_their_order() -> None:
    assert [item.primary and item.primary.span.line for item in findings("ja x\nfoo\nexit\nbar")] == [1, 2, 4]


def test_labels_are_unique_and_programs_are_not_empty() -> None:
    assert "second time" in findings("a: exit\na: exit")[0].message
    assert "no instruction" in findings("# nothing\n")[0].message
