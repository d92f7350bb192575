#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 4);
} totals SEC(".maps");

SEC("xdp")
int sized(struct xdp_md *ctx)
{
	__u32 key = 1;
	__u64 *value = bpf_map_lookup_elem(&totals, &key);

	if (!value)
		return XDP_PASS;
	__sync_fetch_and_add(value, 1);
	return *value > 1000 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
