"""Objects with other code in their functions: everything else stays, and everything that points at code follows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpfsmith.diagnostic import InternalError
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.objfile.writer import NewCode, relaid, rewrite
from tests.support.bpfc import compile_c

SOURCE = """
struct { __uint(type, 2); __type(key, unsigned); __type(value, long); __uint(max_entries, 1); } counts SEC(".maps");
long total;
struct task { int pid; } __attribute__((preserve_access_index));

static noinline int inner(int a) { return a * 7 + (int) total; }
noinline int outer(int a) { return inner(a) + 1; }

SEC("xdp") int first(struct xdp_md *ctx)
{
    unsigned key = 0;
    long *count = bpf_map_lookup_elem(&counts, &key);
    if (count)
        *count += outer(ctx->ingress_ifindex);
    total++;
    return inner(3) ? 2 : 1;
}

SEC("xdp") int second(struct xdp_md *ctx) { return outer(ctx->rx_queue_index) > 3 ? 1 : 2; }

SEC("raw_tp/x") int relocated(struct task **ctx)
{
    struct task *task = ctx[0];
    return __builtin_preserve_field_info(task->pid, 0);
}
"""
NOTHING = Insn(isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_X, 9, 9)


def _data() -> bytes:
    return compile_c(SOURCE)


def _all(obj: Object) -> dict[str, NewCode]:
    return {name: NewCode(function.insns, function.core_relos) for name, function in obj.functions.items()}


def test_an_object_of_which_nothing_changes_comes_back_byte_for_byte() -> None:
    assert rewrite(_data(), _all(read_object(_data()))) == _data()


def test_an_object_that_is_laid_out_anew_reads_the_same() -> None:
    before = read_object(_data())
    for changes in ({}, _all(before)):
        after = read_object(relaid(_data(), changes))
        assert after.functions == before.functions
        assert (after.maps, after.btf, after.license, after.variables) == (
            before.maps,
            before.btf,
            before.license,
            before.variables,
        )
        spans = [[insn.span for insn in obj.functions["first"].insns] for obj in (before, after)]
        assert spans[0] == spans[1]


@pytest.mark.parametrize("grown", ["first", "inner", "outer", "second"])
def test_calls_and_relocations_follow_a_function_that_grew(grown: str) -> None:
    before = read_object(_data())
    code = before.functions[grown].insns
    after = read_object(rewrite(_data(), {grown: NewCode((NOTHING, NOTHING, *code))}))
    assert after.functions[grown].insns == (NOTHING, NOTHING, *code)
    for name, function in before.functions.items():
        if name != grown:
            assert after.functions[name].insns == function.insns
    assert [program.name for program in after.programs] == [program.name for program in before.programs]


def test_core_relocations_move_with_their_instructions() -> None:
    before = read_object(_data())
    function = before.functions["relocated"]
    assert function.core_relos
    moved = tuple(replace(relo, insn_offset=relo.insn_offset + 8) for relo in function.core_relos)
    after = read_object(rewrite(_data(), {"relocated": NewCode((NOTHING, *function.insns), moved)}))
    assert after.functions["relocated"].core_relos == moved


def test_source_lines_of_new_code_are_those_of_its_instructions() -> None:
    before = read_object(_data())
    code = before.functions["first"].insns
    kept = tuple(insn for index, insn in enumerate(code) if index != 1)
    after = read_object(rewrite(_data(), {"first": NewCode(kept)}))
    assert [insn.span for insn in after.functions["first"].insns] == [insn.span for insn in kept]


def test_code_that_names_what_the_object_does_not_have_is_refused() -> None:
    before = read_object(_data())
    stranger = Insn(isa.LD_IMM64, 1, isa.BPF_PSEUDO_MAP_FD, symbol="stranger")
    with pytest.raises(InternalError, match="stranger"):
        rewrite(_data(), {"first": NewCode((stranger, *before.functions["first"].insns))})
