#include <bpfsmith/helpers.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

SEC("xdp") int push(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > data_end)
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, -4))
		return XDP_DROP;
#ifdef FIXED
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
#endif
	eth->h_proto = 0x0081; // <-
	return XDP_TX;
}
char _license[] SEC("license") = "GPL";
