#include <bpfsmith/helpers.h>

struct flow {
	__u64 packets;
	__u32 counts[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct flow);
} flows SEC(".maps");

struct large { char text[200]; };

static __attribute__((noinline)) int inner(struct large *outer)
{
#ifdef FIXED
	return outer->text[5];
#else
	volatile char buffer[400]; // <-
	buffer[outer->text[3] & 63] = 1;
	return buffer[7] + outer->text[5];
#endif
}

SEC("xdp") int outer(struct xdp_md *ctx)
{
	struct large large = {};
	large.text[ctx->rx_queue_index & 63] = 1;
	return inner(&large);
}
char _license[] SEC("license") = "GPL";
