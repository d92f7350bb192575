/* A table that only userspace may fill. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct limit { __u32 max, seen; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct limit);
#ifndef FIXED
	__uint(map_flags, BPF_F_RDONLY_PROG); // <-
#endif
} limits SEC(".maps"); // <-

SEC("xdp")
int limit(struct xdp_md *ctx)
{
	__u32 q = ctx->rx_queue_index;
	struct limit *l = bpf_map_lookup_elem(&limits, &q);
	if (!l)
		return XDP_PASS;
	l->seen++; // <-
	return l->seen > l->max ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: map-read-only
