"""The log is read as the path to the refusal, with the state of the registers, in the forms of all kernels."""

from __future__ import annotations

import pytest

from bpfsmith.isa.asm import assemble
from bpfsmith.kernel.load import Rejected
from bpfsmith.kernel.verifier_log import error_lines
from bpfsmith.kernel.verifier_trace import parse_trace, register, registers_of
from bpfsmith.repair.diagnose import diagnose

OLD = """\
; int f(struct xdp_md *ctx)
0: (61) r2 = *(u32 *)(r1 +4)
1: R1=ctx(id=0,off=0,imm=0) R2_w=pkt_end(id=0,off=0,imm=0) R10=fp0
1: (61) r1 = *(u32 *)(r1 +0)
2: R1_w=pkt(id=0,off=0,r=0,imm=0) R2_w=pkt_end(id=0,off=0,imm=0) R10=fp0
2: (b7) r0 = 7
3: R0_w=inv7 R1_w=pkt(id=0,off=0,r=0,imm=0) R2_w=pkt_end(id=0,off=0,imm=0) R10=fp0
3: (2d) if r1 > r2 goto pc+2
 R0_w=inv7 R1_w=pkt(id=0,off=0,r=0,imm=0) R2_w=pkt_end(id=0,off=0,imm=0) R10=fp0
4: R0_w=inv7 R1_w=pkt(id=0,off=0,r=0,imm=0) R2_w=pkt_end(id=0,off=0,imm=0) R10=fp0
4: (95) exit
from 3 to 6: R0_w=inv7 R1_w=pkt(id=0,off=0,r=0,imm=0) R2_w=pkt_end(id=0,off=0,imm=0) R10=fp0
6: (71) r0 = *(u8 *)(r1 +0)
invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)
R1 offset is outside of the packet
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
NEW = """\
0: R1=ctx() R10=fp0
; void *data = (void *)(long)ctx->data; @ a b.c:5
0: (61) r2 = *(u32 *)(r1 +4)          ; R1=ctx() R2_w=pkt_end()
1: (7b) *(u64 *)(r10 -8) = r1         ; R1=ctx() R10=fp0 fp-8_w=ctx()
2: (85) call pc+3
caller:
 R10=fp0 fp-8_w=ctx()
callee:
 frame1: R1=ctx() R10=fp0
6: frame1: R1=ctx() R10=fp0
6: (b7) r3 = 5                        ; frame1: R3_w=5
7: (25) if r3 > 0x3 goto pc+1 9: frame1: R1=ctx() R3=5 R10=fp0
9: (71) r0 = *(u8 *)(r3 +0)
R3 invalid mem access 'scalar'
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_logs_before_5_18_give_the_state_on_lines_of_their_own() -> None:
    trace = parse_trace(OLD)
    assert [visit.slot for visit in trace.visits] == [0, 1, 2, 3, 6], "the path that ended at insn 4 is left out"
    last = trace.visits[-1]
    assert last.jumped
    assert (last.before["R1"].kind, last.before["R0"].kind, last.before["R0"].value) == ("pkt", "scalar", 7)
    assert trace.words[0].startswith("invalid access to packet")


def test_logs_since_5_18_give_what_changed_and_frames() -> None:
    trace = parse_trace(NEW)
    assert [(visit.slot, visit.frame) for visit in trace.visits] == [(0, 0), (1, 0), (2, 0), (6, 1), (7, 1), (9, 1)]
    assert trace.visits[1].after["fp-8"].kind == "ctx"
    assert (trace.visits[0].source, trace.visits[0].line) != ("", 0)
    assert trace.visits[-1].before["R3"].value == 5
    assert trace.visits[-1].jumped


@pytest.mark.parametrize(
    ("text", "kind", "largest"),
    [
        ("inv(id=0,umax_value=255,var_off=(0x0; 0xff))", "scalar", 255),
        ("scalar(smin=smin32=0,smax=umax=smax32=umax32=16,var_off=(0x0; 0x1f))", "scalar", 16),
        ("scalar(var_off=(0x0; 0x7c))", "scalar", 0x7C),
        ("P7", "scalar", 7),
        ("inv0", "scalar", 0),
        ("-1", "scalar", None),
        ("scalar()", "scalar", None),
        ("map_value_or_null(id=1,map=m,ks=4,vs=8)", "map_value_or_null", None),
        ("fp-16", "fp", None),
        ("mmmm????", "misc", None),
    ],
)
def test_a_value_is_read_as_kind_and_bounds(text: str, kind: str, largest: int | None) -> None:
    found = register(text)
    assert (found.kind, found.largest) == (kind, largest)


def test_several_names_share_a_value() -> None:
    found = dict(registers_of("R2_w=scalar(smin=0,smax=umax=9,var_off=(0x0; 0xf)) R10=fp0 fp-8_w=mmmmmmmm refs=2"))
    assert set(found) == {"R2", "R10", "fp-8"}
    assert found["R2"].number("umax") == 9
    assert not found["R2"].may_be_negative
    assert register("scalar(smin=-8,smax=9)").may_be_negative


def test_anything_is_read_without_an_error() -> None:
    assert parse_trace("").visits == ()
    assert parse_trace("from 3 to x: R1=\n5: (zz)\nR1=((((\n\0\n").last is None


def test_a_complaint_without_newline_is_found() -> None:
    assert error_lines("3: (85) call bpf_tail_call#12\nexpected prog array map for tail callverification time 51 usec\n") == (
        "expected prog array map for tail call",
    )


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("R2 unbounded size, use 'var &= const' or 'if (var < const)'", "helper-size-unbounded"),  # 5.10
        ("Arg#0 type PTR in first() is not supported yet.", "global-function"),
        ("map 'total' doesn't have 'struct bpf_spin_lock'", "map-needs-btf"),
        ("Expected an initialized dynptr as R1", "dynptr"),  # 7.2
        ("expected an initialized iter_num as R1", "iterator"),
        ("R1 pointer type STRUCT task_struct must point to scalar, or struct with scalar", "kfunc-argument"),
        ("Sleepable program cannot attach to non-faultable tracepoint sched_switch", "sleepable-attach"),
        ("sleepable helper bpf_copy_from_user#148 in non-sleepable prog", "sleepable"),
    ],
)
def test_the_words_of_the_oldest_and_the_newest_kernel_are_of_a_kind(words: str, kind: str) -> None:
    (program,) = assemble(".section tc\nr0 = 0\nexit\n", "t.s")
    found = diagnose(program, Rejected(program, 22, words + "\n", (words,)))
    assert found.kind is not None
    assert found.kind.example == kind
