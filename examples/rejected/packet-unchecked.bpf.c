#include <bpfsmith/helpers.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

SEC("xdp") int drop_vlan(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
#ifdef FIXED
	if ((void *)(eth + 1) > data_end)
		return XDP_PASS;
#endif
	return eth->h_proto == 0x0081 ? XDP_DROP : XDP_PASS; // <-
}
char _license[] SEC("license") = "GPL";
