/* A map in a map: the inner lookup's result is checked, the outer's is not. */
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
} outer SEC(".maps");

SEC("xdp")
int two_level(struct xdp_md *ctx)
{
	__u32 zone = ctx->ingress_ifindex & 7, q = ctx->rx_queue_index;
	void *in = bpf_map_lookup_elem(&outer, &zone);
#ifdef FIXED
	if (!in)
		return XDP_PASS;
#endif
	__u64 *n = bpf_map_lookup_elem(in, &q); // <-

	if (!n)
		return XDP_PASS;
	*n += 1;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: null-argument, null-unchecked, argument-type
