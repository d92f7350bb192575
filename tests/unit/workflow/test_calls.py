"""What helpers were given and gave is said in words and in JSON, where two runs part by nothing else."""

from __future__ import annotations

from bpfsmith.codegen.clang import Compiler
from bpfsmith.gate.prove import prove_equal
from bpfsmith.objfile.object import read_object
from bpfsmith.semantics.verdict import Different
from bpfsmith.workflow.describe import Vocabulary, counterexample_json, counterexample_text

TEXT = """
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } out SEC(".maps");
char LICENSE[] SEC("license") = "GPL";
SEC("xdp") int a(struct xdp_md *ctx)
{
	struct bpf_fib_lookup fib = { .family = 2, .ifindex = 1 };
	if (bpf_fib_lookup(ctx, &fib, sizeof fib, 0)) return 2;
	return fib.dmac[0] == WANTED ? 1 : 3;
}
SEC("raw_tp/sys_enter") int b(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 x = WANTED;
	bpf_perf_event_output(ctx, &out, 0, &x, 8);
	return 0;
}
"""


def told(name: str) -> tuple[str, dict[str, object]]:
    objects = [read_object(Compiler.default().compile(TEXT, name="case.bpf.c", flags=(f"-DWANTED={n}",))) for n in (5, 6)]
    verdict = prove_equal(objects[0].program(name), objects[0], objects[1].program(name), objects[1])
    assert isinstance(verdict, Different), verdict
    words = Vocabulary(objects[1].program(name))
    return "\n".join(counterexample_text(verdict.counterexample, words)), counterexample_json(verdict.counterexample, words)


def test_what_a_helper_has_to_give_is_part_of_the_input() -> None:
    """Law: a difference that needs a helper's result shows it: the result, and the bytes that it leaves behind."""
    text, json = told("a")
    assert "bpf_fib_lookup (call 1) returns 0x0" in text
    assert "bpf_fib_lookup (call 1) fills its argument 2:" in text
    names = [item["name"] for item in json["world"]]  # type: ignore[attr-defined]
    assert any(name.startswith("bpf_fib_lookup.2") for name in names)


def test_what_a_call_is_given_is_shown_for_both_sides() -> None:
    """Law: where runs part by what a call is given, each side's arguments stand beside it by their names."""
    text, json = told("b")
    assert "bpf_perf_event_output(out, flags=0x0, data={05 00 00 00 00 00 00 00}, size=0x8)" in text
    assert "bpf_perf_event_output(out, flags=0x0, data={06 00 00 00 00 00 00 00}, size=0x8)" in text
    given = [json[side]["records"][0]["arguments"][3] for side in ("expected", "actual")]  # type: ignore[index]
    assert given == ["0500000000000000", "0600000000000000"]
