// The same key is looked up twice: keep the pointer of the first lookup.
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

	if (value)
		__sync_fetch_and_add(value, 1);
	value = bpf_map_lookup_elem(&totals, &key);
	if (value && *value > 1000)
		return XDP_DROP;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
