/* IPv6 extension headers, the pointer moved by each and compared too late. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ipv6.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct ext { __u8 next; __u8 len; };

SEC("xdp")
int skip_ext(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct ipv6hdr *ip6 = data + sizeof(*eth);

	if ((void *)(ip6 + 1) > data_end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IPV6))
		return XDP_PASS;
	__u8 next = ip6->nexthdr;
	void *pos = ip6 + 1;

#pragma unroll
	for (int i = 0; i < 4; i++) {
		struct ext *e = pos;
		if (next != 0 && next != 43 && next != 60)
			break;
#ifdef FIXED
		if ((void *)(e + 1) > data_end)
			return XDP_PASS;
#endif
		next = e->next; // <-
		pos += (e->len + 1) * 8;
	}
	return next == IPPROTO_ICMPV6 ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small, packet-check-elsewhere, packet-unchecked
