#include <bpfsmith/helpers.h>

struct values { __u32 slot[16]; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct values);
} table SEC(".maps");

struct larger { __u32 slot[16]; __u64 total; };

SEC("xdp") int pick(struct xdp_md *ctx)
{
	__u32 zero = 0;
#ifdef FIXED
	struct values *all = bpf_map_lookup_elem(&table, &zero);
	return all ? all->slot[0] : XDP_PASS;
#else
	struct larger *all = bpf_map_lookup_elem(&table, &zero);
	if (!all)
		return XDP_PASS;
	return all->total; // <-
#endif
}
char _license[] SEC("license") = "GPL";
