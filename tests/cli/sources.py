"""Small inputs that several tests of the command use."""

from __future__ import annotations

DROP = """\
state:
    count: uint
init():
    count = 0
req(rpc):
    count = count + 1
    match randomf(0, 1) < 0.25:
        true => send(err('unlucky'), Drop)
        false => send(rpc, Down)
"""

_HEAD = "#include <linux/bpf.h>\n#include <bpfsmith/helpers.h>\n"
_TAIL = '\nchar LICENSE[] SEC("license") = "GPL";\n'

SAME = (
    _HEAD
    + """\
__u32 count = 0;
SEC("xdp")
int drop(struct xdp_md *ctx)
{
	__u32 word = bpf_get_prandom_u32();
	__sync_fetch_and_add(&count, 1);
	if (word >= 1 << 30)
		return XDP_PASS;
	return XDP_DROP;
}
"""
    + _TAIL
)

TWO_AT_ONCE = SAME.replace("&count, 1)", "&count, 2)")
"""Counts every request twice."""

ATOMIC = "__sync_fetch_and_add(&count, 1);"
PLAIN = SAME.replace(ATOMIC, "count++;")
"""Two CPUs can lose a count."""

REJECTED = (
    _HEAD
    + """\
SEC("xdp")
int peek(struct xdp_md *ctx)
{
	char *data = (char *)(long)ctx->data;
	return data[10] ? XDP_DROP : XDP_PASS;
}
"""
    + _TAIL
)
REJECTED_LINE = 7
"""The line of REJECTED that reads what may lie behind the packet's end."""

SLOW_TO_DECIDE = """\
state:
    x: float
init():
    x = 0.3
req(rpc):
    x = 3.7 * x * (1 - x)
    match x > 0.5:
        true => send(err('chaos'), Up)
"""

SYNTAX_ERROR = _HEAD + 'SEC("xdp")\nint broken(struct xdp_md *ctx)\n{\n\treturn XDP_PAS;\n}\n' + _TAIL
SYNTAX_ERROR_LINE = 6
