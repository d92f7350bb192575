"""`verify` with all its ways of looking: profile, -mcpu levels, what a loader would fill in."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.isa.asm import assemble
from bpfsmith.kernel.maps import open_maps
from bpfsmith.kernel.profile import visits
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.verified import choices
from bpfsmith.workflow.verifying import verify

pytestmark = pytest.mark.kernel

LOOP = """\
#include <bpfsmith/helpers.h>
SEC("xdp") int walk(struct xdp_md *ctx)
{
	__u64 sum = 0;
	for (int i = 0; i < 50; i++)
		sum += bpf_get_prandom_u32();
	return sum & 1;
}
"""
OPEN = """\
#include <bpfsmith/helpers.h>
extern __u32 LINUX_KERNEL_VERSION __attribute__((section(".kconfig")));
extern int CONFIG_NO_SUCH_THING __attribute__((section(".kconfig"), weak));
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); } sized SEC(".maps");
SEC("something/odd") int guess(struct xdp_md *ctx)
{
	__u32 key = LINUX_KERNEL_VERSION > 0x050000 ? 1 : *(volatile int *)0;
	return bpf_map_lookup_elem(&sized, &key) ? XDP_DROP : CONFIG_NO_SUCH_THING;
}
"""


def test_the_profile_counts_every_visit_of_a_loop() -> None:
    (program,) = assemble(".section xdp\nr0 = 20\nr0 += -1\nif r0 != 0 goto -2\nexit\n", "t.s")
    with open_maps(()) as maps:
        counted = visits(program, maps)
    assert counted[0] == 1
    assert counted[1] == 20
    assert counted[3] == 1


def test_the_dearest_line_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "loop.bpf.c"
    path.write_text(LOOP)
    report = verify([str(path)], Toolchain(), profile=True)
    profiles = report.details["profiles"]
    assert isinstance(profiles, dict)
    first = profiles["walk"][0]
    assert first["line"] in (5, 6)
    assert first["visits"] >= 100
    assert first["share"] > 0.4


def test_each_mcpu_has_its_row_and_one_that_loads_will_do(tmp_path: Path) -> None:
    path = tmp_path / "loop.bpf.c"
    path.write_text(LOOP)
    report = verify([str(path)], Toolchain(), cpus=("v1", "v2", "v3"))
    assert [(program.cpu, program.verdict) for program in report.programs] == [
        ("v1", "accepted"),
        ("v2", "accepted"),
        ("v3", "accepted"),
    ]


def test_what_a_file_leaves_open_is_assumed_and_said(tmp_path: Path) -> None:
    path = tmp_path / "open.bpf.c"
    path.write_text(OPEN)
    report = verify([str(path)], Toolchain())
    assert [program.verdict for program in report.programs] == ["accepted"], [d.message for d in report.diagnostics]
    said = " ".join(note for item in report.diagnostics if item.id == "assumed-for-loading" for note in item.notes)
    assert "map sized states no max_entries: 1 is assumed" in said
    assert "`xdp` is assumed" in said
    given = verify([str(path)], Toolchain(), choices=choices(["sized=16"], "xdp"))
    assert [program.verdict for program in given.programs] == ["accepted"]
    assert given.diagnostics == ()


def test_a_program_that_cannot_load_leaves_its_neighbours_their_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "two.bpf.c"
    path.write_text(
        '#include <bpfsmith/helpers.h>\nSEC("tp_btf/no_such_tracepoint") int lost(void *ctx) { return 0; }\n'
        'SEC("xdp") int fine(struct xdp_md *ctx) { return XDP_PASS; }\nchar _license[] SEC("license") = "GPL";\n'
    )
    report = verify([str(path)], Toolchain())
    assert {program.name: program.verdict for program in report.programs} == {"lost": "unloadable", "fine": "accepted"}
    assert report.verdict.exit_code == 1


def test_a_cache_server_loads_with_one_instruction_set_and_not_with_the_next() -> None:
    path = Path(__file__).parents[2] / "examples" / "verifier" / "cache_invalidate.bpf.c"
    report = verify([str(path)], Toolchain(), cpus=("v1", "v2"))
    assert [(program.cpu, program.verdict) for program in report.programs] == [("v1", "accepted"), ("v2", "rejected")]
    assert {item.id for item in report.diagnostics} == {"verifier-too-many-insns"}
    assert str(report.verdict) == "accepted", "one that loads will do"
