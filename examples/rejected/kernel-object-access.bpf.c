#include <bpfsmith/helpers.h>

struct bucket { struct bpf_spin_lock lock; __u32 tokens; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

SEC("tc") int reset(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &zero);
	if (!bucket)
		return 0;
#ifdef FIXED
	bucket->tokens = 0;
#else
	*(volatile __u64 *)bucket = 0; // <-
#endif
	return 0;
}
char _license[] SEC("license") = "GPL";
