// Reads the ethertype before it knows that the packet is that long.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpfsmith/helpers.h>

SEC("xdp")
int only_ip(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if (eth->h_proto != __builtin_bswap16(ETH_P_IP))
		return XDP_DROP;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
