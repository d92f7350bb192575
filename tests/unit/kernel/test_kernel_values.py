"""The parts of the kernel layer that need no kernel: layouts, logs, listings."""

from __future__ import annotations

import ctypes

import pytest

from bpfsmith.diagnostic import Unsupported
from bpfsmith.kernel import jit, syscall
from bpfsmith.kernel.errors import errno_name
from bpfsmith.kernel.verifier_log import Stats, Step, error_lines, parse_stats, steps

ACCEPTED = """\
0: R1=ctx() R10=fp0
; int f(struct xdp_md *c) @ f.c:3
0: (61) r2 = *(u32 *)(r1 +4)          ; R1=ctx() R2_w=pkt_end()
1: (b7) r0 = 2                        ; R0_w=2
2: (95) exit
verification time 82 usec
stack depth 8+0
processed 9 insns (limit 1000000) max_states_per_insn 1 total_states 3 peak_states 2 mark_read 4
"""

REJECTED = """\
0: R1=ctx() R10=fp0
; return *(u32 *)(u64)c->data; @ f.c:2
0: (61) r1 = *(u32 *)(r1 +0)          ; R1_w=pkt(r=0)
1: (61) r0 = *(u32 *)(r1 +0)
invalid access to packet, off=0 size=4, R1(id=0,off=0,r=0)
R1 offset is outside of the packet
verification time 40 usec
stack depth 0
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_layouts_are_those_of_the_uapi() -> None:
    assert ctypes.sizeof(syscall._ProgInfo) == 232
    assert syscall._ProgLoadAttr.log_true_size.offset == 140
    assert syscall._ProgLoadAttr.prog_btf_fd.offset == 72
    assert syscall._MapCreateAttr.map_extra.offset == 64
    assert syscall._TestRunAttr.ctx_in.offset == 48


def test_statistics_are_read_from_the_end_of_a_log() -> None:
    assert parse_stats(ACCEPTED) == Stats(9, 3, 2, 1, 4, 82, (8, 0))
    assert parse_stats("R0 !read_ok\n") is None


def test_steps_are_the_visits_in_order() -> None:
    assert list(steps(ACCEPTED)) == [
        Step(0, "r2 = *(u32 *)(r1 +4)", "R1=ctx() R2_w=pkt_end()"),
        Step(1, "r0 = 2", "R0_w=2"),
        Step(2, "exit"),
    ]


def test_error_lines_are_those_that_narrate_no_step() -> None:
    assert error_lines(REJECTED) == (
        "invalid access to packet, off=0 size=4, R1(id=0,off=0,r=0)",
        "R1 offset is outside of the packet",
    )
    assert error_lines(ACCEPTED) == ()


def test_names_are_cut_and_cleaned_for_the_kernel() -> None:
    assert syscall.object_name(".data.guard-of/all") == b".data.guard_of_"


def test_errnos_are_named_as_people_search_for_them() -> None:
    assert errno_name(22) == "EINVAL (Invalid argument)"
    assert errno_name(524).startswith("ENOTSUPP")


def test_listings_of_both_machines() -> None:
    x86 = bytes.fromhex("f30f1efa 55 4889e5 c9 c3")
    assert [str(i).split(": ")[1] for i in jit.listing(x86, "x86_64")] == [
        "endbr64",
        "push rbp",
        "mov rbp, rsp",
        "leave",
        "ret",
    ]
    assert [i.text for i in jit.listing(bytes.fromhex("1f2003d5 c0035fd6"), "aarch64")] == ["nop", "ret"]


def test_bytes_that_are_no_instruction_are_listed_and_do_not_end_the_listing() -> None:
    listing = jit.listing(bytes.fromhex("06 c3"), "x86_64")
    assert [i.text for i in listing] == [".byte 0x06", "ret"]
    assert sum(i.length for i in listing) == 2


def test_an_unknown_machine_is_told() -> None:
    with pytest.raises(Unsupported) as caught:
        jit.count(b"\0", "vax")
    assert caught.value.diagnostics[0].id == "unsupported-machine"
