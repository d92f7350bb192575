/* A table whose length is no power of two. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct table { __u32 weight[100]; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct table);
} weights SEC(".maps");

SEC("tc")
int pick(struct __sk_buff *skb)
{
	__u32 zero = 0, i = skb->hash & 127; // <-
	struct table *t = bpf_map_lookup_elem(&weights, &zero);
	if (!t)
		return TC_ACT_OK;
#ifdef FIXED
	if (i >= 100)
		return TC_ACT_OK;
#endif
	skb->priority = t->weight[i]; // <-
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-index, map-value-unbounded
