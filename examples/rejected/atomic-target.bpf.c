#include <bpfsmith/helpers.h>
#include <linux/if_ether.h>

struct hop {
	struct ethhdr eth;
	__u16 pad;
	__u32 hops;
};

SEC("xdp")
int bump(struct xdp_md *ctx)
{
	struct hop *h = (void *)(long)ctx->data;

	if ((void *)(h + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
#ifdef FIXED
	h->hops += 1;
#else
	__sync_fetch_and_add(&h->hops, 1); // <-
#endif
	return XDP_TX;
}
char _license[] SEC("license") = "GPL";
