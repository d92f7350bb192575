/* IPv6 with the check of IPv4. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

__u32 last[4];

SEC("xdp")
int record(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > data_end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IPV6))
		return XDP_PASS;
	struct ipv6hdr *ip6 = (void *)(eth + 1);
#ifdef FIXED
	if ((void *)ip6 + sizeof(struct ipv6hdr) > data_end)
#else
	if ((void *)ip6 + sizeof(struct iphdr) > data_end) // <-
#endif
		return XDP_PASS;
	__builtin_memcpy(last, &ip6->daddr, sizeof(last)); // <-
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small
