#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct datarec {
	__u64 rx_packets;
	__u64 rx_bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct datarec);
	__uint(max_entries, 5);
} xdp_stats_map SEC(".maps");

static __always_inline
__u32 xdp_stats_record_action(struct xdp_md *ctx, __u32 action)
{
	if (action > XDP_REDIRECT)
		return XDP_ABORTED;

	struct datarec *rec = bpf_map_lookup_elem(&xdp_stats_map, &action);
#ifdef FIXED
	if (!rec)
		return XDP_ABORTED;
#endif
	rec->rx_packets++; // <-
	rec->rx_bytes += (ctx->data_end - ctx->data); // <-

	return action;
}

SEC("xdp")
int xdp_pass_func(struct xdp_md *ctx)
{
	__u32 action = XDP_PASS;
	return xdp_stats_record_action(ctx, action);
}

char _license[] SEC("license") = "GPL";
// cause: null-unchecked
