#include <bpfsmith/helpers.h>

#ifdef FIXED
static
#endif
__attribute__((noinline)) int first(void *bytes) // <-
{
	volatile int zero = 0;
	return *(__u8 *)bytes + zero;
}

SEC("xdp") int start(struct xdp_md *ctx)
{
	__u64 word = ctx->rx_queue_index;
	return first(&word);
}
char _license[] SEC("license") = "GPL";
