/* Two maps, one of which is looked at unchecked. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} limits SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} used SEC(".maps");

SEC("xdp")
int quota(struct xdp_md *ctx)
{
	__u32 q = ctx->rx_queue_index & 3, dev = ctx->ingress_ifindex;
	__u64 *limit = bpf_map_lookup_elem(&limits, &q);
	__u64 *n = bpf_map_lookup_elem(&used, &dev);
#ifdef FIXED
	if (!n || !limit)
#else
	if (!n) // <-
#endif
		return XDP_PASS;
	*n += 1;
	return *n > *limit ? XDP_DROP : XDP_PASS; // <-
}
char _license[] SEC("license") = "GPL";
// cause: null-unchecked
