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

SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	struct flow *flow = bpf_map_lookup_elem(&flows, &key);
#ifdef FIXED
	if (!flow)
		return XDP_PASS;
#endif
	bpf_map_update_elem(&flows, &key, flow, 0); // <-
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
