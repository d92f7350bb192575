#include <bpfsmith/helpers.h>

#define TEN(x) x x x x x x x x x x
#define STEP if (bpf_get_prandom_u32() & 1) asm volatile("%[s] += 1" : [s] "+r"(seed));

SEC("xdp") int walk(struct xdp_md *ctx)
{
	__u64 seed = ctx->rx_queue_index;
#ifdef FIXED
	TEN(STEP)
#else
	TEN(TEN(TEN(TEN(STEP)))) // <-
#endif
	return seed & 1;
}
char _license[] SEC("license") = "GPL";
