"""Test vectors of our own in the form that public suites have: text, memory, and what r0 holds at the end.

The numbers come from RFC 9669, not from running anything.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vector:
    name: str
    text: str
    expected: int
    memory: str = ""

    def __str__(self) -> str:
        return self.name


VECTORS = (
    # arithmetic
    Vector("mov", "mov %r0, 42\nexit", 42),
    Vector("mov_sign_extends", "mov %r0, -1\nexit", 0xFFFFFFFFFFFFFFFF),
    Vector("mov32_zero_extends", "mov32 %r0, -1\nexit", 0xFFFFFFFF),
    Vector("mov32_register", "lddw %r1, 0x1122334455667788\nmov32 %r0, %r1\nexit", 0x55667788),
    Vector("unset_registers_are_zero", "xor %r0, %r0\nsub %r0, 1\nrsh32 %r0, 8\nexit", 0x00FFFFFF),
    Vector("add_wraps", "lddw %r0, 0xffffffffffffffff\nadd %r0, 2\nexit", 1),
    Vector("add32_wraps", "mov %r0, -1\nadd32 %r0, 2\nexit", 1),
    Vector("sub_below_zero", "mov %r0, 1\nsub %r0, 3\nexit", 0xFFFFFFFFFFFFFFFE),
    Vector("mul", "mov %r0, -3\nmov %r1, 7\nmul %r0, %r1\nexit", 0xFFFFFFFFFFFFFFEB),
    Vector("mul32", "lddw %r0, 0x100000003\nmul32 %r0, 5\nexit", 15),
    Vector("div_is_unsigned", "mov %r0, -1\ndiv %r0, 2\nexit", 0x7FFFFFFFFFFFFFFF),
    Vector("div_by_zero_is_zero", "mov %r0, 9\nmov %r1, 0\ndiv %r0, %r1\nexit", 0),
    Vector("mod_by_zero_keeps", "mov %r0, 9\nmov %r1, 0\nmod %r0, %r1\nexit", 9),
    Vector("mod32_by_zero_truncates", "mov %r0, -1\nmov %r1, 0\nmod32 %r0, %r1\nexit", 0xFFFFFFFF),
    Vector("sdiv_truncates", "mov %r0, -7\nsdiv %r0, 2\nexit", 0xFFFFFFFFFFFFFFFD),
    Vector("sdiv_overflow", "lddw %r0, 0x8000000000000000\nsdiv %r0, -1\nexit", 0x8000000000000000),
    Vector("smod_has_the_dividend_s_sign", "mov %r0, -7\nsmod %r0, 3\nexit", 0xFFFFFFFFFFFFFFFF),
    Vector("smod32", "mov %r0, -13\nsmod32 %r0, 4\nexit", 0xFFFFFFFF),
    Vector("neg", "mov %r0, 1\nneg %r0\nexit", 0xFFFFFFFFFFFFFFFF),
    Vector("neg32", "mov %r0, 1\nneg32 %r0\nexit", 0xFFFFFFFF),
    Vector("lsh_masks_its_amount", "mov %r0, 1\nmov %r1, 65\nlsh %r0, %r1\nexit", 2),
    Vector("arsh", "mov %r0, -256\narsh %r0, 4\nexit", 0xFFFFFFFFFFFFFFF0),
    Vector("arsh32", "mov32 %r0, 0x80000000\narsh32 %r0, 31\nexit", 0xFFFFFFFF),
    Vector("movsx832", "mov %r1, 0x80\nmovsx832 %r0, %r1\nexit", 0xFFFFFF80),
    Vector("movsx1664", "mov %r1, 0x8000\nmovsx1664 %r0, %r1\nexit", 0xFFFFFFFFFFFF8000),
    Vector("movsx3264", "mov32 %r1, 0x80000000\nmovsx3264 %r0, %r1\nexit", 0xFFFFFFFF80000000),
    # byte order
    Vector("be16", "lddw %r0, 0x1122334455667788\nbe16 %r0\nexit", 0x8877),
    Vector("le32_truncates", "lddw %r0, 0x1122334455667788\nle32 %r0\nexit", 0x55667788),
    Vector("swap64", "lddw %r0, 0x1122334455667788\nswap64 %r0\nexit", 0x8877665544332211),
    # memory
    Vector("length", "mov %r0, %r2\nexit", 5, "00 11 22 33 44"),
    Vector("no_memory", "mov %r0, %r1\nor %r0, %r2\nexit", 0),
    Vector("ldxw", "ldxw %r0, [%r1+1]\nexit", 0x55443322, "11 22 33 44 55 66"),
    Vector("ldxsb", "ldxsb %r0, [%r1]\nexit", 0xFFFFFFFFFFFFFFFE, "fe"),
    Vector("ldxsh", "ldxsh %r0, [%r1+2]\nexit", 0x7FFF, "0000ff7f"),
    Vector("store_into_memory", "sth [%r1+1], 0x2211\nldxw %r0, [%r1]\nexit", 0xDD2211AA, "aa bb cc dd"),
    Vector("stack", "stdw [%r10-8], -2\nldxw %r0, [%r10-4]\nexit", 0xFFFFFFFF),
    Vector("the_last_byte_of_the_stack", "stb [%r10-512], 7\nldxb %r0, [%r10-512]\nexit", 7),
    Vector("a_pointer_on_the_stack", "stxdw [%r10-8], %r1\nldxdw %r3, [%r10-8]\nldxb %r0, [%r3+1]\nexit", 0x22, "1122"),
    # atomics
    Vector("lock_add", "stdw [%r10-8], 5\nmov %r1, 6\nlock add [%r10-8], %r1\nldxdw %r0, [%r10-8]\nexit", 11),
    Vector("lock_fetch_add32", "mov %r3, -1\nlock fetch_add32 [%r1], %r3\nmov %r0, %r3\nexit", 0x80000000, "00000080ffffffff"),
    Vector("lock_xchg", "stdw [%r10-8], 5\nmov %r0, 6\nlock xchg [%r10-8], %r0\nexit", 5),
    Vector(
        "lock_cmpxchg",
        "stdw [%r10-8], 5\nmov %r0, 5\nmov %r1, 9\nlock cmpxchg [%r10-8], %r1\n"
        "ldxdw %r1, [%r10-8]\nlsh %r1, 8\nor %r0, %r1\nexit",
        0x905,
    ),
    # control
    Vector("ja", "mov %r0, 1\nja +1\nmov %r0, 2\nexit", 1),
    Vector("ja32", "mov %r0, 1\nja32 end\nmov %r0, 2\nend: exit", 1),
    Vector("jgt_is_unsigned", "mov %r0, 1\nmov %r1, -1\njgt %r1, 5, +1\nmov %r0, 2\nexit", 1),
    Vector("jsgt_is_signed", "mov %r0, 1\nmov %r1, -1\njsgt %r1, 5, +1\nmov %r0, 2\nexit", 2),
    Vector("jeq32_looks_at_32_bits", "mov %r0, 1\nlddw %r1, 0x100000007\njeq32 %r1, 7, +1\nmov %r0, 2\nexit", 1),
    Vector("jset", "mov %r0, 1\nmov %r1, 8\njset %r1, 10, +1\nmov %r0, 2\nexit", 1),
    Vector("loop", "mov %r0, 0\nmov %r1, 100\nagain: add %r0, %r1\nsub %r1, 1\njne %r1, 0, again\nexit", 5050),
    Vector("call_local", "mov %r1, 4\nmov %r6, 1\ncall local f\nadd %r0, %r6\nexit\nf: mov %r6, 9\nmov %r0, %r1\nexit", 5),
    Vector(
        "calls_of_calls",
        "mov %r1, 3\ncall local f\nexit\n"
        "f: stxdw [%r10-8], %r1\ncall local g\nldxdw %r1, [%r10-8]\nadd %r0, %r1\nexit\n"
        "g: stdw [%r10-8], 99\nmov %r0, 10\nexit",
        13,
    ),
    Vector("the_caller_s_stack", "stdw [%r10-8], 7\nmov %r1, %r10\ncall local f\nexit\nf: ldxdw %r0, [%r1-8]\nexit", 7),
    Vector("recursion", "mov %r1, 5\ncall local f\nexit\nf: mov %r0, %r1\njeq %r1, 0, +2\nsub %r1, 1\ncall local f\nexit", 0),
    # addresses are numbers
    Vector("distance_of_pointers", "mov %r2, %r1\nadd %r2, 3\nsub %r2, %r1\nmov %r0, %r2\nexit", 3, "00 11 22 33"),
    Vector("pointer_taken_apart", "mov %r2, %r1\nxor %r2, -1\nxor %r2, -1\nldxb %r0, [%r2+1]\nexit", 0x22, "11 22"),
    Vector(
        "pointer_in_two_halves",
        "mov %r2, %r1\nrsh %r2, 32\nlsh %r2, 32\nmov32 %r3, %r1\nor %r2, %r3\nldxb %r0, [%r2]\nexit",
        0x11,
        "11 22",
    ),
    Vector("pointer_in_memory", "stxdw [%r1], %r10\nldxdw %r2, [%r1]\nstb [%r2-1], 7\nldxb %r0, [%r10-1]\nexit", 7, "00" * 8),
    Vector(
        "pointer_to_the_caller_s_stack",
        "stdw [%r10-8], 5\nmov %r1, %r10\nsub %r1, 8\ncall local f\nldxdw %r0, [%r10-8]\nexit\nf: stdw [%r1], 9\nexit",
        9,
    ),
    Vector("pointers_in_order", "mov %r0, 0\nmov %r2, %r1\nadd %r2, 1\njgt %r1, %r2, +1\nmov %r0, 1\nexit", 1, "aa bb"),
    # helpers of the suite
    Vector("helper_0_gathers_bytes", "mov %r1, 1\nmov %r2, 2\nmov %r3, 3\nmov %r4, 4\nmov %r5, 5\ncall 0\nexit", 0x0102030405),
    Vector("helper_1_frobs", "mov %r6, %r1\nadd %r1, 1\nmov %r2, 2\ncall 1\nldxw %r0, [%r6]\nexit", 0x042B2A01, "01 00 01 04"),
    Vector("helper_2_keeps_what_calls_keep", "mov %r6, 1\nmov %r9, 2\ncall 2\nmov %r0, %r6\nadd %r0, %r9\nexit", 3),
    Vector("helper_3_takes_roots", "mov %r1, 65535\ncall 3\nexit", 255),
    Vector(
        "helper_4_compares",
        "stdw [%r10-8], 0x6261\nstdw [%r10-16], 0x6261\nmov %r1, %r10\nsub %r1, 8\nmov %r2, %r10\nsub %r2, 16\ncall 4\nexit",
        0,
    ),
    Vector("helper_5_ends_the_run", "mov %r1, 0\ncall 5\nmov %r0, 2\nexit", 0),
    Vector("helper_5_goes_on", "mov %r1, -1\ncall 5\nmov %r0, 2\nexit", 2),
    # calls through a register, which RFC 9669 left out
    Vector("callx_calls_a_helper", "mov %r6, 3\nmov %r1, 81\ncallx %r6\nexit", 9),
    Vector("callx_by_the_first_argument", "mov %r1, 3\ncallx %r1\nexit", 1),
    # corners of the dialect
    Vector("exit_as_a_label", "mov %r0, 3\njeq %r0, 3, exit\nmov %r0, 1\nexit", 3),
    Vector("hex_offset", "ldxb %r0, [%r1+0x2]\nexit", 0x33, "11 22 33"),
    Vector("negative_hex_offset", "stb [%r10-0x4], 0x7\nldxb %r0, [%r10-4]\nexit", 7),
    Vector("no_spaces", "mov %r0,1\nadd %r0,%r0\njeq %r0,2,+1\nmov %r0,9\nexit", 2),
    Vector("label_before_an_insn", "mov %r0, 0\nja out\nmov %r0, 1\nout: exit", 0),
    Vector("label_on_its_own_line", "mov %r0, 3\nloop:\nsub %r0, 1\njne %r0, 0, loop\nexit", 0),
    Vector("jump_over_nothing", "mov %r0, 4\nja +0\nexit", 4),
    Vector("jump_over_a_wide_insn", "mov %r0, 4\nja +2\nlddw %r0, 0x1\nexit", 4),
    Vector("comments", "# one\nmov %r0, 1 # two\n\n   ; three\nexit // four", 1),
    Vector("large_immediate", "mov32 %r0, 0xffffffff\nmov %r1, 0x7fffffff\nadd %r0, %r1\nexit", 0x17FFFFFFE),
    Vector(
        "immediate_compares_sign_extended",
        "mov %r0, 0\nlddw %r1, 0xffffffff80000000\njeq %r1, 0x80000000, +1\nexit\nmov %r0, 1\nexit",
        1,
    ),
)
