/* Handlers by protocol. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __noinline int on_tcp(__u32 q) { return q & 1 ? XDP_PASS : XDP_DROP; }
static __noinline int on_udp(__u32 q) { return q & 2 ? XDP_PASS : XDP_DROP; }

SEC("xdp")
int dispatch(struct xdp_md *ctx)
{
#ifdef FIXED
	if (ctx->ingress_ifindex & 1)
		return on_tcp(ctx->rx_queue_index);
	return on_udp(ctx->rx_queue_index);
#else
	int (*handler)(__u32) = ctx->ingress_ifindex & 1 ? on_tcp : on_udp; // <-
	asm volatile("" : "+r"(handler));
	return handler(ctx->rx_queue_index); // <-
#endif
}
char _license[] SEC("license") = "GPL";
// cause: instruction, func-info
