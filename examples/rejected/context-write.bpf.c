#include <bpfsmith/helpers.h>

SEC("xdp") int move(struct xdp_md *ctx)
{
#ifdef FIXED
	return ctx->rx_queue_index ? XDP_DROP : XDP_PASS;
#else
	ctx->rx_queue_index = 0; // <-
	return XDP_PASS;
#endif
}
char _license[] SEC("license") = "GPL";
