#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bucket {
	struct bpf_spin_lock lock;
	__u64 tokens;
	__u64 stamp;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

#define RATE 1000

SEC("xdp")
int limit(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &key);
	int verdict = XDP_DROP;

	if (!b)
		return XDP_ABORTED;
#ifdef FIXED
	__u64 now = bpf_ktime_get_ns();
#endif
	bpf_spin_lock(&b->lock);
#ifndef FIXED
	__u64 now = bpf_ktime_get_ns(); // <-
#endif
	if (now - b->stamp > 1000000000) {
		b->tokens = RATE;
		b->stamp = now;
	}
	if (b->tokens > 0) {
		b->tokens--;
		verdict = XDP_PASS;
	}
	bpf_spin_unlock(&b->lock);
	return verdict;
}
char _license[] SEC("license") = "GPL";
// cause: lock-call
