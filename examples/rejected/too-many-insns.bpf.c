#include <bpfsmith/helpers.h>

SEC("xdp") int walk(struct xdp_md *ctx)
{
	__u32 seed = ctx->rx_queue_index;
#ifdef FIXED
	for (int i = 0; i < 10; i++)
#else
	for (int i = 0; i < 1000000; i++) // <-
#endif
		seed = seed * 3 + bpf_get_prandom_u32();
	return seed & 1;
}
char _license[] SEC("license") = "GPL";
