"""A loop that is turned into a call of bpf_loop() does what it did, and the verifier accepts it."""

from __future__ import annotations

import pytest

from bpfsmith.gate.differential import Agreement, differential
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.repair.changes.callback import as_callback
from bpfsmith.repair.patch import Patch
from bpfsmith.workflow.inputs import Toolchain

pytestmark = pytest.mark.kernel

TEXT = """#include <bpfsmith/helpers.h>

struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); } seen
	SEC(".maps");

static __u64 *entry(__u32 key) { return bpf_map_lookup_elem(&seen, &key); }

SEC("xdp") int f(struct xdp_md *ctx)
{
	__u32 sum = 0, at, parts[4] = {};
	__u8 byte[32];

	if (bpf_xdp_load_bytes(ctx, 0, byte, sizeof(byte)))
		return XDP_PASS;
LOOP
	__u64 *v = entry(sum & 7);
	if (v)
		*v += sum + parts[2];
	return sum & 1 ? XDP_DROP : XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""

LOOPS = {
    "a counted loop": "\tfor (int i = 0; i < 16; i++)\n\t\tsum += byte[i & 31];",
    "continue and break": """\tfor (int i = 0; i < 16; i++) {
\t\tif (byte[i] == 3)
\t\t\tcontinue;
\t\tif (byte[i] > 250)
\t\t\tbreak;
\t\tsum += byte[i];
\t}""",
    "a return": "\tfor (int i = 0; i < 8; i++) {\n\t\tif (byte[i] == 7)\n\t\t\treturn XDP_TX;\n\t\tsum++;\n\t}",
    "a counter that is used after it": "\tfor (at = 0; at < 9 && byte[at & 31]; at++)\n\t\tsum += at;\n\tsum += at;",
    "an array of the function's": """\tfor (int i = 0; i < 4; i++) {
\t\tparts[i & 3] = byte[i] + sum;
\t\tsum += parts[i & 3];
\t}""",
    "a loop in a loop": """\tfor (int i = 0; i < 4; i++) {
\t\tfor (int j = 0; j < 3; j++) {
\t\t\tif (byte[j] == 9)
\t\t\t\tbreak;
\t\t\tsum += i * j;
\t\t}
\t\tswitch (byte[i]) {
\t\tcase 1:
\t\t\tsum++;
\t\t\tbreak;
\t\tcase 2:
\t\t\tcontinue;
\t\t}
\t\tsum += 2;
\t}""",
    "a while": "\tat = 0;\n\twhile (at < 12 && sum < 400) {\n\t\tsum += byte[at & 31];\n\t\tat++;\n\t}",
}  # fmt: skip


def called_back(text: str) -> str:
    """The text with its first loop as a call of bpf_loop()."""
    number = next(n for n, line in enumerate(text.split("\n"), 1) if line.lstrip().startswith(("for (", "while (")))
    edits = as_callback(text, number)
    assert edits is not None
    return Patch("", edits).apply(text)


def accepted(obj: Object) -> bool:
    with open_maps(obj.maps, obj=obj) as maps, load(obj.program("f"), maps) as outcome:
        return isinstance(outcome, Accepted)


@pytest.mark.parametrize("name", LOOPS)
def test_the_loop_does_what_it_did(name: str) -> None:
    text = TEXT.replace("LOOP", LOOPS[name])
    changed = called_back(text)
    assert "bpf_loop(" in changed
    before, after = (read_object(Toolchain().compile(each, name="loop.bpf.c")) for each in (text, changed))
    assert accepted(after), changed
    found = differential(before.program("f"), before, after.program("f"), after, runs=400)
    assert isinstance(found, Agreement), changed
    assert found.runs == 400


def test_a_loop_that_is_left_by_goto_is_not_touched() -> None:
    loop = "\tfor (int i = 0; i < 4; i++)\n\t\tif (byte[i] == 3)\n\t\t\tgoto out;\nout:"
    text = TEXT.replace("LOOP", loop)
    number = text.split("\n").index("\tfor (int i = 0; i < 4; i++)") + 1
    assert as_callback(text, number) is None
