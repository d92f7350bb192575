// An entry that is there is changed through the pointer that the lookup gave; there is no need to write it back.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} packets SEC(".maps");

SEC("xdp")
int counted(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 next = 0, *old = bpf_map_lookup_elem(&packets, &key);

	if (old) {
		next = *old + 1;
		bpf_map_update_elem(&packets, &key, &next, BPF_ANY);
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
