#include <bpfsmith/helpers.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

SEC("xdp") int drop_udp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
#ifdef FIXED
	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
#else
	if ((void *)(eth + 1) > data_end) // <-
		return XDP_PASS;
#endif
	return ip->protocol == 17 ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
