/* Strips a header of eight bytes; the end is from before. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

__u16 last_proto;

SEC("xdp")
int strip(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	if (data + 8 + sizeof(struct ethhdr) > data_end)
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, 8))
		return XDP_ABORTED;
	struct ethhdr *eth = (void *)(long)ctx->data; // <-
#ifdef FIXED
	data_end = (void *)(long)ctx->data_end;
#endif
	if ((void *)(eth + 1) > data_end) // <-
		return XDP_ABORTED;
	last_proto = eth->h_proto; // <-
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-stale-pointer
