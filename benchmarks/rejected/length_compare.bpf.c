/* Compares a length with a number, which proves nothing to the verifier. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ipv6.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("xdp")
int ipv6_hops(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 len = ctx->data_end - ctx->data;

#ifdef FIXED
	if (data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr) > data_end)
#else
	if (len < sizeof(struct ethhdr) + sizeof(struct ipv6hdr)) // <-
#endif
		return XDP_PASS;
	struct ethhdr *eth = data;
	if (eth->h_proto != bpf_htons(ETH_P_IPV6)) // <-
		return XDP_PASS;
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	return ip6->hop_limit < 2 ? XDP_DROP : XDP_PASS; // <-
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked
