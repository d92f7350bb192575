"""An older and a newer kernel say what they think of a program, in one boot each. Kernels are kept in the cache."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from bpfsmith.diagnostic import KernelError
from bpfsmith.kernel.images import image
from bpfsmith.kernel.vm import loader
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.verifying import verify

EXAMPLES = Path(__file__).parents[2] / "examples" / "rejected"
FENTRY = """
#include <bpfsmith/helpers.h>
SEC("fentry/vfs_read") int entry(unsigned long long *ctx) { return 0; }
struct task_struct { int tgid; } __attribute__((preserve_access_index));
SEC("tp_btf/sched_switch") int relocated(unsigned long long *ctx) { return ((struct task_struct *)ctx[1])->tgid == 7; }
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
static long add(__u32 i, void *sum) { *(__u64 *)sum += i; return 0; }
SEC("tc") int rounds(struct __sk_buff *skb) { __u64 sum = 0; bpf_loop(4, add, &sum, 0); return sum > 9; }
char _license[] SEC("license") = "GPL";
"""
COUNTED = """
#include <bpfsmith/helpers.h>
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); } seen
	SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	__u64 *found = bpf_map_lookup_elem(&seen, &key);
	if (found)
		__sync_fetch_and_add(found, 1);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def kernels() -> tuple[str, ...]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("no qemu here")
    versions = ("5.10", "6.12")
    try:
        for version in versions:
            image(version)
        loader()
    except KernelError as error:
        pytest.skip(f"no kernels to be had: {error}")
    return versions


def test_other_kernels_have_verdicts_of_their_own(
    kernels: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    good = tmp_path / "good.bpf.c"
    good.write_text(FENTRY)
    bad = EXAMPLES / "stack-uninitialised.bpf.c"
    report = verify([str(good), str(bad)], Toolchain(), kernels=kernels, attach=True)
    verdicts = {(program.kernel, program.name): program.verdict for program in report.programs}
    assert verdicts == {
        ("5.10", "entry"): "accepted",
        ("5.10", "relocated"): "accepted",  # CO-RE by our own code: kernels do it since 5.17
        ("5.10", "pass"): "accepted",
        ("5.10", "rounds"): "rejected",  # bpf_loop: 5.17
        ("5.10", "early"): "rejected",  # bytes that were never written: allowed to privileged programs since 6.3
        ("6.12", "entry"): "accepted",
        ("6.12", "relocated"): "accepted",
        ("6.12", "pass"): "accepted",
        ("6.12", "rounds"): "accepted",
        ("6.12", "early"): "accepted",
    }
    told = next(item for item in report.diagnostics if item.id == "verifier-stack-uninitialised")
    assert told.message.startswith("kernel 5.10: ")
    assert told.primary is not None
    assert "// <-" in bad.read_text().split("\n")[told.primary.span.line - 1]
    accepted = [program for program in report.programs if program.verdict == "accepted"]
    assert all(program.processed_insns and program.jited_bytes for program in accepted)
    assert all((program.runs or 0) > 0 for program in accepted if program.name != "early"), "they are attached, and run"
    assert not list(tmp_path.glob("bpfsmith-*")), "nothing is left behind"


def test_what_only_another_kernel_refuses_is_repaired_for_it(kernels: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "count.bpf.c"
    path.write_text(COUNTED)
    report = verify([str(path)], Toolchain(), kernels=("host", kernels[0]), repair=True)
    assert [program.verdict for program in report.programs] == ["accepted", "rejected"], "atomics of -mcpu=v3: kernel 5.12"
    (told,) = [item for item in report.diagnostics if item.id == "repair-suggested"]
    assert f"the verifier of kernel {kernels[0]} accepts" in told.message
    assert told.help.startswith("compile with -mcpu=v")
    repairs = report.details["repairs"]
    assert isinstance(repairs, list)
    assert repairs[0]["unchanged"] is True, repairs[0]["behaviour"]
