#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define BUCKETS 1000

struct sketch { __u32 row[BUCKETS]; };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sketch);
} sketches SEC(".maps");

static __always_inline __u32 jhash(__u32 a, __u32 b)
{
	a ^= b;
	a *= 0x9e3779b1;
	a ^= a >> 15;
	return a;
}

SEC("tc")
int update(struct __sk_buff *skb)
{
	__u32 zero = 0, slot;
	struct sketch *s = bpf_map_lookup_elem(&sketches, &zero);

	if (!s)
		return 0;
	slot = jhash(skb->hash, skb->ifindex) & 0x3ff; // <-
#ifdef FIXED
	if (slot >= BUCKETS)
		return 0;
#endif
	s->row[slot]++; // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-index
