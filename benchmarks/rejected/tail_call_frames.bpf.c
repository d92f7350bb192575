/* A dispatcher that has filled its stack before the jump. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} jumps SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(".maps");
#ifdef FIXED
#define ROOM 128
#else
#define ROOM 320
#endif

static __noinline int dispatch(struct xdp_md *ctx, __u32 n)
{
	bpf_tail_call(ctx, &jumps, n); // <-
	return XDP_PASS;
}

SEC("xdp")
int entry(struct xdp_md *ctx)
{
	char note[ROOM] = {}; // <-
	note[0] = ctx->rx_queue_index;
	bpf_ringbuf_output(&rb, note, sizeof(note), 0);
	int verdict = dispatch(ctx, ctx->rx_queue_index & 3); // <-
	bpf_ringbuf_output(&rb, note, sizeof(note), 0);
	return verdict;
}
char _license[] SEC("license") = "GPL";
// cause: tail-call-stack, stack-too-large
