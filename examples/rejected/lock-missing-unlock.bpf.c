#include <bpfsmith/helpers.h>

struct guarded { struct bpf_spin_lock lock; __u32 packets; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guarded);
} total SEC(".maps");

SEC("tc") int count(struct __sk_buff *ctx)
{
	__u32 zero = 0;
	struct guarded *all = bpf_map_lookup_elem(&total, &zero);
	if (!all)
		return 0;
	bpf_spin_lock(&all->lock);
	if (all->packets > 100) {
#ifdef FIXED
		bpf_spin_unlock(&all->lock);
#endif
		return 2; // <-
	}
	all->packets++;
	bpf_spin_unlock(&all->lock);
	return 0;
}
char _license[] SEC("license") = "GPL";
