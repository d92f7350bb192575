"""A filter as C for XDP: readable, with one parse of the headers that all conditions share."""

from __future__ import annotations

from typing import assert_never

from bpfsmith.pcap.syntax import And, EtherType, Filter, Length, Net, Not, Or, Ports, Protocol

_HEAD = """\
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpfsmith/helpers.h>

static __always_inline int has(const void *at, unsigned size, const void *end)
{
	return at + size <= end;
}

SEC("xdp")
int NAME(struct xdp_md *ctx)
{
	const __u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const __u8 *ip = data + ETH_HLEN;
	__u16 type = has(data, ETH_HLEN, end) ? data[12] << 8 | data[13] : 0;
	int is_ip = type == ETH_P_IP, is_ip6 = type == ETH_P_IPV6;
	int protocol = is_ip && has(ip, 10, end) ? ip[9] : is_ip6 && has(ip, 7, end) ? ip[6] : -1;
	int source = -1, dest = -1; // ports

	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
		const __u8 *l4 = is_ip6 ? ip + 40 : ip + (ip[0] & 15) * 4;
		int later_fragment = is_ip && ((ip[6] & 0x1f) | ip[7]);

		if (!later_fragment && has(l4, 4, end)) {
			source = l4[0] << 8 | l4[1];
			dest = l4[2] << 8 | l4[3];
		}
	}
	return MATCH ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
"""


def lower(tree: Filter, name: str) -> str:
    """The C of a filter, its function called `name`."""
    return _HEAD.replace("NAME", name).replace("MATCH", _text(tree))


def _text(tree: Filter) -> str:
    match tree:
        case And(left=left, right=right):
            return f"({_text(left)} && {_text(right)})"
        case Or(left=left, right=right):
            return f"({_text(left)} || {_text(right)})"
        case Not(operand=operand):
            return f"!{_text(operand)}"
        case EtherType(value=value):
            return f"(type == {value:#06x})"
        case Protocol(value=value):
            return f"(protocol == {value})"
        case Length(bytes=size, least=least):
            return f"(data + {size} {'<=' if least else '>='} end)"
        case Net(address=address, mask=mask, sides=sides):
            return _either([f"is_ip && has(ip, {side + 4}, end) && {_in_net(side, address, mask)}" for side in sides])
        case Ports(low=low, high=high, sides=sides, protocols=protocols):
            kind = f"protocol == {protocols[0]} && " if len(protocols) == 1 else ""
            names = ["source" if side == 0 else "dest" for side in sides]
            return _either([f"{kind}{name} >= {low} && {name} <= {high}" for name in names])
        case _:
            assert_never(tree)


def _either(parts: list[str]) -> str:
    return "(" + " || ".join(f"({part})" for part in parts) + ")"


def _in_net(side: int, address: int, mask: int) -> str:
    """The bytes of the address that the mask looks at."""
    tests = []
    for at in range(4):
        bits, wanted = mask >> (24 - 8 * at) & 255, address >> (24 - 8 * at) & 255
        if bits:
            byte = f"ip[{side + at}]" if bits == 255 else f"(ip[{side + at}] & {bits})"
            tests.append(f"{byte} == {wanted}")
    return " && ".join(tests) if tests else "1"
