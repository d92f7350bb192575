#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct meta { __u32 mark; };

SEC("xdp")
int set_mark(struct xdp_md *ctx)
{
	struct meta *m;
	void *data;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*m)))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	m = (void *)(long)ctx->data_meta;
#ifdef FIXED
	if ((void *)(m + 1) > data)
		return XDP_ABORTED;
#endif
	m->mark = 42; // <-
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked
