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

#ifdef FIXED
struct guarded { struct bpf_spin_lock lock; __u64 packets; };
#else
struct guarded { __u32 lock; __u64 packets; };
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guarded);
} total SEC(".maps");

SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct guarded *all = bpf_map_lookup_elem(&total, &zero);
	if (!all)
		return XDP_PASS;
	bpf_spin_lock((void *)&all->lock); // <-
	all->packets++;
	bpf_spin_unlock((void *)&all->lock);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
