#include <bpfsmith/helpers.h>

SEC("xdp") int pick(struct xdp_md *ctx)
{
	volatile char letters[16] = {};
	__u32 i = ctx->rx_queue_index;
#ifdef FIXED
	if (i >= sizeof(letters))
		return XDP_PASS;
#endif
	letters[i] = 'x'; // <-
	return letters[3];
}
char _license[] SEC("license") = "GPL";
