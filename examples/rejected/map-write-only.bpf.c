#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
#ifndef FIXED
	__uint(map_flags, BPF_F_WRONLY_PROG);
#endif
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} journal SEC(".maps");

SEC("xdp") int last(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *value = bpf_map_lookup_elem(&journal, &zero);
	return value ? *value : XDP_PASS; // <-
}
char _license[] SEC("license") = "GPL";
