#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 16);
} uses SEC(".maps");
__u32 turn = 0;

SEC("xdp")
int slots(struct xdp_md *ctx)
{
	__u32 slot, value = 1, *n;

	turn = turn + 1;
	slot = turn % 16;
	n = bpf_map_lookup_elem(&uses, &slot);
	if (n) {
		if (*n > 100)
			return XDP_DROP;
		value = *n + 2;
	}
	bpf_map_update_elem(&uses, &slot, &value, BPF_ANY);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
