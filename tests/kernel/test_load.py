from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bpfsmith.diagnostic import KernelError
from bpfsmith.isa.insn import BPF_ALU64, BPF_EXIT, BPF_JMP, BPF_JNE, BPF_K, BPF_MOV, BPF_SUB, Insn
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.kernel import jit, testrun, verifier_log
from bpfsmith.kernel import load as load_module
from bpfsmith.kernel.load import LOG_BRANCHES, LOG_INSNS, Accepted, Rejected, load
from bpfsmith.kernel.maps import MapSet, open_maps
from bpfsmith.objfile.object import Object, read_object
from tests.support.bpfc import compile_c
from tests.support.objects import RICH

pytestmark = pytest.mark.kernel

EXIT = Insn(BPF_JMP | BPF_EXIT)


def mov(register: int, value: int) -> Insn:
    return Insn(BPF_ALU64 | BPF_MOV | BPF_K, register, imm=value)


def xdp(*insns: Insn) -> Program:
    return Program("test", "xdp", insns)


@pytest.fixture
def no_maps() -> Iterator[MapSet]:
    with open_maps(()) as maps:
        yield maps


@pytest.fixture(scope="module")
def rich() -> Object:
    return read_object(compile_c(RICH))


def accepted(outcome: Accepted | Rejected) -> Accepted:
    assert isinstance(outcome, Accepted), outcome.log
    return outcome


def test_an_accepted_program_says_what_it_became(no_maps: MapSet) -> None:
    with accepted(load(xdp(mov(0, 2), EXIT), no_maps)) as program:
        assert (program.insns, program.slots, program.xlated_slots, program.processed_insns) == (2, 2, 2, 2)
        assert program.stats.stack_depth == (0,)
        assert program.xlated == struct.pack("<BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0)
        assert program.load_ms > 0
        if program.jited is not None:
            assert len(program.jited) == program.jited_bytes
            assert 2 <= jit.count(program.jited) <= program.jited_bytes
        else:
            assert program.jited_withheld


def test_a_rejected_program_keeps_the_verifiers_words(no_maps: MapSet) -> None:
    outcome = load(xdp(EXIT), no_maps)
    assert isinstance(outcome, Rejected)
    assert outcome.error_lines == ("R0 !read_ok",)
    assert outcome.reason == "R0 !read_ok"
    assert "processed 1 insns" in outcome.log


def test_a_rejection_shows_the_source_line() -> None:
    obj = read_object(compile_c('SEC("xdp") int f(struct xdp_md *c) {\n  return *(u32 *)(u64)c->data;\n}'))
    with open_maps(obj) as maps:
        outcome = load(obj.program("f"), maps)
    assert isinstance(outcome, Rejected)
    assert "invalid access to packet" in outcome.error_lines[0]
    assert "test.c:2" in outcome.log


def test_the_log_buffer_grows_until_the_log_fits(no_maps: MapSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "_FIRST_LOG_BYTES", 256)
    rounds = 300
    loop = xdp(mov(0, rounds), Insn(BPF_ALU64 | BPF_SUB | BPF_K, 0, imm=1), Insn(BPF_JMP | BPF_JNE | BPF_K, 0, offset=-2), EXIT)
    with accepted(load(loop, no_maps, log_level=LOG_INSNS)) as program:
        assert len(program.log) > 256 << 4
        assert program.processed_insns == 2 * rounds + 2
        assert sum(step.slot == 1 for step in verifier_log.steps(program.log)) == rounds


def test_whole_object_loads_and_runs(rich: Object) -> None:
    with open_maps(rich) as maps:
        for blueprint in rich.programs:
            with accepted(load(blueprint, maps)) as program:
                if blueprint.section == "xdp":
                    assert testrun.run(program).retval == {"first": 1, "second": 2}[blueprint.name]


def test_global_functions_are_verified_on_their_own(rich: Object) -> None:
    with open_maps(rich) as maps, accepted(load(rich.program("first"), maps, log_level=LOG_BRANCHES)) as program:
        assert "Func#1 ('outer') is safe for any args" in program.log


def test_a_rewritten_program_keeps_its_source_lines(rich: Object) -> None:
    blueprint = rich.program("third")
    rewritten = replace(blueprint, insns=(replace(blueprint.insns[0], imm=0), *blueprint.insns))
    with open_maps(rich) as maps, accepted(load(rewritten, maps, log_level=LOG_INSNS)) as program:
        assert '; SEC("tc") int third(void *c)' in program.log
        assert program.insns == len(blueprint.insns) + 1


@pytest.mark.parametrize("where", ["value of a hash", "data section"])
def test_spin_locks_work(where: str) -> None:
    hash_map = """
    struct value { struct bpf_spin_lock lock; u64 n; };
    struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, struct value); } m SEC(".maps");
    SEC("xdp") int f(struct xdp_md *c) { u32 k = 7; struct value *v = bpf_map_lookup_elem(&m, &k); if (!v) return 1;
        bpf_spin_lock(&v->lock); v->n += 3; bpf_spin_unlock(&v->lock); return 2; }
    """
    section = """
    static struct bpf_spin_lock lock SEC(".data.guard"); static u64 n SEC(".data.guard") = 39;
    SEC("xdp") int f(struct xdp_md *c) { bpf_spin_lock(&lock); n += 3; bpf_spin_unlock(&lock); return 2; }
    """
    obj = read_object(compile_c(hash_map if where == "value of a hash" else section))
    with open_maps(obj) as maps:
        if "m" in maps:
            maps.write("m", {struct.pack("<I", 7): struct.pack("<QQ", 0, 39)})
        with accepted(load(obj.program("f"), maps)) as program:
            assert testrun.run(program).retval == 2
        if "m" in maps:
            assert maps.read("m") == {struct.pack("<I", 7): struct.pack("<QQ", 0, 42)}
        else:
            n = obj.variable("n")
            assert maps.read(n.section)[bytes(4)][n.offset :][: n.size] == struct.pack("<Q", 42)


def test_a_lock_needs_the_types_of_its_object(rich: Object) -> None:
    """The near miss: the same maps without BTF are refused, so that the test above rests on the BTF."""
    program = rich.program("first")
    with open_maps(program) as maps:
        outcome = load(program, maps)
    assert isinstance(outcome, Rejected)
    assert "has to have BTF in order to use bpf_spin_lock" in outcome.log


def test_frozen_rodata_is_a_constant_to_the_verifier() -> None:
    source = (
        'const volatile u32 on = 0; SEC("xdp") int f(struct xdp_md *c) { if (on) { c->rx_queue_index; return 3; } return 2; }'
    )
    obj = read_object(compile_c(source))
    with open_maps(obj) as maps, accepted(load(obj.program("f"), maps)) as program:
        assert program.xlated_slots < program.slots
        assert testrun.run(program).retval == 2


def test_kernel_functions_are_called_by_their_id() -> None:
    source = """
    extern void bpf_rcu_read_lock(void) __attribute__((section(".ksyms")));
    extern void bpf_rcu_read_unlock(void) __attribute__((section(".ksyms")));
    SEC("tc") int f(void *c) { bpf_rcu_read_lock(); bpf_rcu_read_unlock(); return 2; }
    """
    obj = read_object(compile_c(source))
    with open_maps(obj) as maps, accepted(load(obj.program("f"), maps)) as program:
        assert testrun.run(program).retval == 2


def test_an_unknown_kernel_function_is_told() -> None:
    source = """
    extern void no_such_kfunc(void) __attribute__((section(".ksyms")));
    SEC("tc") int f(void *c) { no_such_kfunc(); return 0; }
    """
    obj = read_object(compile_c(source))
    with open_maps(obj) as maps, pytest.raises(KernelError) as caught:
        load(obj.program("f"), maps)
    assert caught.value.diagnostics[0].id == "unknown-kernel-function"


def test_programs_that_attach_by_type_load() -> None:
    obj = read_object(compile_c('SEC("tp_btf/sys_enter") int f(u64 *ctx) { return 0; }'))
    with open_maps(obj) as maps:
        accepted(load(obj.program("f"), maps)).close()


def test_tail_calls_go_through_the_arrays_that_the_object_fills() -> None:
    source = """
    int target(struct xdp_md *c);
    struct { __uint(type, 3); __uint(max_entries, 2); __type(key, u32); __array(values, int (void *)); }
        jumps SEC(".maps") = { .values = { [1] = (void *)&target } };
    SEC("xdp") int target(struct xdp_md *c) { return 3; }
    SEC("xdp") int f(struct xdp_md *c) { bpf_tail_call(c, &jumps, 1); return 1; }
    """
    obj = read_object(compile_c(source))
    with (
        open_maps(obj) as maps,
        accepted(load(obj.program("target"), maps)) as target,
        accepted(load(obj.program("f"), maps)) as program,
    ):
        assert testrun.run(program).retval == 1
        maps.install_programs({"target": target.fd})
        assert testrun.run(program).retval == 3


def test_maps_of_maps_are_filled() -> None:
    source = """
    struct inner { __uint(type, 2); __uint(max_entries, 1); __type(key, u32); __type(value, u32); };
    struct inner one SEC(".maps"), two SEC(".maps");
    struct { __uint(type, 12); __uint(max_entries, 4); __type(key, u32); __array(values, struct inner); }
        outer SEC(".maps") = { .values = { [3] = &two } };
    SEC("xdp") int f(struct xdp_md *c) { u32 k = 3, z = 0; void *m = bpf_map_lookup_elem(&outer, &k); if (!m) return 90;
        u32 *v = bpf_map_lookup_elem(m, &z); return v ? *v : 91; }
    """
    obj = read_object(compile_c(source))
    with open_maps(obj.program("f"), obj=obj) as maps, accepted(load(obj.program("f"), maps)) as program:
        maps.write("two", {bytes(4): struct.pack("<I", 77)})
        assert testrun.run(program).retval == 77
        assert len(maps.read("outer")) == 1


def test_a_map_that_cannot_be_made_is_told_and_leaves_nothing() -> None:
    good = MapSpec("good", "BPF_MAP_TYPE_ARRAY", 4, 8, 1)
    bad = MapSpec("bad", "BPF_MAP_TYPE_ARRAY", 3, 8, 1)
    with pytest.raises(KernelError) as caught:
        open_maps((good, bad))
    assert caught.value.diagnostics[0].id == "map-create-failed"
    assert "key_size 3" in caught.value.diagnostics[0].notes[1]


def test_an_exception_closes_everything(rich: Object) -> None:
    with pytest.raises(ZeroDivisionError), open_maps(rich) as maps, load(rich.program("second"), maps):
        raise ZeroDivisionError


def test_closing_twice_is_harmless(no_maps: MapSet) -> None:
    program = accepted(load(xdp(mov(0, 2), EXIT), no_maps))
    program.close()
    program.close()
    assert program.fd == -1
