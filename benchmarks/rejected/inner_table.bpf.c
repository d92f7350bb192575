/* A table for each interface. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 8);
	__type(key, __u32);
	__array(values, struct inner);
} tables SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	__u32 index = ctx->ingress_ifindex, queue = ctx->rx_queue_index;
	void *table = bpf_map_lookup_elem(&tables, &index);
#ifdef FIXED
	if (!table)
		return XDP_PASS;
#endif
	__u64 *n = bpf_map_lookup_elem(table, &queue); // <-
	if (n)
		__sync_fetch_and_add(n, 1);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: null-argument
