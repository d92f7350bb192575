#include <bpfsmith/helpers.h>

struct values { __u32 slot[16]; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct values);
} table SEC(".maps");

SEC("xdp") int pick(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct values *all = bpf_map_lookup_elem(&table, &zero);
	if (!all)
		return XDP_PASS;
	int i = (ctx->rx_queue_index & 31) - 16;
#ifdef FIXED
	if (i < 0)
		return XDP_PASS;
#endif
	if (i > 15)
		return XDP_PASS;
	return all->slot[i]; // <-
}
char _license[] SEC("license") = "GPL";
