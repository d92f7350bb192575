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

static long visit(void *map, __u32 *key, struct flow *flow, void *context)
{
#ifdef FIXED
	__u32 copy = *key;
	copy++;
#else
	*key = 0; // <-
#endif
	return 0;
}

SEC("xdp") int walk(struct xdp_md *ctx)
{
	bpf_for_each_map_elem(&flows, visit, 0, 0);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
