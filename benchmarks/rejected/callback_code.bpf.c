/* Sums the values of a map. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} table SEC(".maps");
struct sum { __u64 total; };

static long add(void *map, const __u32 *key, __u32 *value, struct sum *s)
{
	s->total += *value;
#ifdef FIXED
	return 0;
#else
	return *value; // <-
#endif
}

SEC("tc")
int busy(struct __sk_buff *skb)
{
	struct sum s = {};
	bpf_for_each_map_elem(&table, add, &s, 0); // <-
	return s.total > 1000 ? TC_ACT_SHOT : TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: return-range
