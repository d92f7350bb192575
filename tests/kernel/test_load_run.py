from __future__ import annotations

import os

import pytest

from bpfsmith.diagnostic import KernelError
from bpfsmith.isa.insn import BPF_ALU64, BPF_EXIT, BPF_JMP, BPF_K, BPF_MOV, Insn
from bpfsmith.isa.program import Program
from bpfsmith.kernel import probe, syscall
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.kernel.probe import Feature
from bpfsmith.kernel.testrun import measure, run
from bpfsmith.objfile.object import read_object
from tests.support.bpfc import compile_c

pytestmark = pytest.mark.kernel

XDP_TX = 3


def test_the_packet_comes_back_as_the_program_left_it() -> None:
    source = """
    SEC("xdp") int f(struct xdp_md *c) { u8 *p = (void *)(u64)c->data; if (p + 15 > (u8 *)(u64)c->data_end) return 1;
        p[14] = p[0] + 1; return 3; }
    """
    obj = read_object(compile_c(source))
    packet = bytes(range(7, 107))
    with open_maps(obj) as maps, load(obj.program("f"), maps) as program:
        assert isinstance(program, Accepted)
        result = run(program, packet)
        assert result.retval == XDP_TX
        assert result.data == packet[:14] + b"\x08" + packet[15:]
        assert run(program, packet[:14]).retval == 1


def test_context_fields_reach_the_program() -> None:
    obj = read_object(compile_c('struct skb { u32 len, pkt_type, mark; }; SEC("tc") int f(struct skb *s) { return s->mark; }'))
    with open_maps(obj) as maps, load(obj.program("f"), maps) as program:
        assert isinstance(program, Accepted)
        assert run(program).retval == 0
        assert run(program, ctx={"mark": 0xABCD}).retval == 0xABCD


def test_xdp_context_takes_packet_bounds_from_the_packet() -> None:
    source = """
    SEC("xdp") int f(struct xdp_md *c) { u8 *start = (void *)(u64)c->data, *end = (void *)(u64)c->data_end;
        return c->ingress_ifindex * 1000 + (end - start); }
    """
    obj = read_object(compile_c(source))
    with open_maps(obj) as maps, load(obj.program("f"), maps) as program:
        assert isinstance(program, Accepted)
        assert run(program, bytes(80), ctx={"ingress_ifindex": 1}).retval == 1080


def test_types_without_a_test_run_are_told() -> None:
    insns = (Insn(BPF_ALU64 | BPF_MOV | BPF_K), Insn(BPF_JMP | BPF_EXIT))
    with open_maps(()) as maps, load(Program("probe", "kprobe/vfs_read", insns), maps) as program:
        assert isinstance(program, Accepted)
        with pytest.raises(KernelError) as caught:
            run(program)
    assert caught.value.diagnostics[0].id == "test-run-failed"


def test_a_packet_shorter_than_ethernet_is_told() -> None:
    insns = (Insn(BPF_ALU64 | BPF_MOV | BPF_K), Insn(BPF_JMP | BPF_EXIT))
    with open_maps(()) as maps, load(Program("short", "xdp", insns), maps) as program:
        assert isinstance(program, Accepted)
        with pytest.raises(KernelError, match="refuses the test run"):
            run(program, bytes(13))


def test_more_work_takes_longer_than_less_and_both_longer_than_none() -> None:
    source = """
    SEC("xdp") int little(struct xdp_md *c) { return 2; }
    SEC("xdp") int much(struct xdp_md *c) { u32 h = c->ingress_ifindex;
        for (u32 i = 0; i < 2000; i++) { h = h * 31 + i; asm volatile("" : "+r"(h)); } return h & 1; }
    """
    obj = read_object(compile_c(source))
    with open_maps(obj) as maps, load(obj.program("much"), maps) as much, load(obj.program("little"), maps) as little:
        assert isinstance(much, Accepted)
        assert isinstance(little, Accepted)
        measured = measure([much, little], rounds=5, repeat=200)
    slow, fast = measured.programs
    assert slow.min_ns > 10 * max(fast.min_ns, measured.floor.min_ns, 1)
    assert slow.min_ns <= slow.median_ns


def test_stats_count_runs_while_enabled() -> None:
    insns = (Insn(BPF_ALU64 | BPF_MOV | BPF_K), Insn(BPF_JMP | BPF_EXIT))
    with open_maps(()) as maps, load(Program("counted", "xdp", insns), maps) as program:
        assert isinstance(program, Accepted)
        stats = syscall.enable_stats()
        try:
            run(program, repeat=10)
            assert syscall.prog_info(program.fd).run_count == 10
        finally:
            os.close(stats)


def test_probes_say_yes_to_what_these_tests_use() -> None:
    assert isinstance(probe.can_bpf(), probe.Available)
    assert probe.has_program_type("xdp")
    assert probe.has_map_type("BPF_MAP_TYPE_ARRAY_OF_MAPS")
    assert probe.has_map_type("BPF_MAP_TYPE_LPM_TRIE")
    assert probe.has_feature(Feature.GLOBAL_DATA)
    assert probe.has_feature(Feature.SPIN_LOCK_IN_DATA)
    assert probe.has_feature(Feature.ATOMIC_FETCH)


def test_probes_say_no_to_what_cannot_be() -> None:
    assert not probe.has_map_type("BPF_MAP_TYPE_UNSPEC")
    assert not probe.has_helper("xdp", "bpf_skb_load_bytes")
    assert not probe.has_helper("xdp", "bpf_make_coffee")
    assert probe.has_helper("tc", "bpf_skb_load_bytes")
    assert probe.has_helper("xdp", "bpf_fib_lookup")


def test_pinning_is_undone() -> None:
    before = os.sched_getaffinity(0)
    with probe.pinned(min(before)):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
