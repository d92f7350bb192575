#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

static __attribute__((noinline)) int jump(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &next, 1);
	volatile int result = XDP_PASS;
	return result;
}

SEC("xdp") int start(struct xdp_md *ctx)
{
#ifdef FIXED
	volatile char buffer[32];
#else
	volatile char buffer[300]; // <-
#endif
	buffer[ctx->rx_queue_index & 31] = 1;
	return jump(ctx) + buffer[3];
}
char _license[] SEC("license") = "GPL";
