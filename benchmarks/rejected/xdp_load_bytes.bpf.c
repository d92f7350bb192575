/* Copied from a tc program. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("xdp")
int only_ip(struct xdp_md *ctx)
{
	__u16 proto;
#ifdef FIXED
	if (bpf_xdp_load_bytes(ctx, 12, &proto, sizeof(proto)))
#else
	if (bpf_skb_load_bytes(ctx, 12, &proto, sizeof(proto))) // <-
#endif
		return XDP_DROP;
	return proto == bpf_htons(ETH_P_IP) ? XDP_PASS : XDP_DROP;
}
char _license[] SEC("license") = "GPL";
// cause: helper-program-type
