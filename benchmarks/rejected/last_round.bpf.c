/* One round too many. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define PORTS 16
struct list { __u16 ports[PORTS]; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct list);
} lists SEC(".maps");

SEC("tc")
int match(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct list *l = bpf_map_lookup_elem(&lists, &zero);
	if (!l)
		return TC_ACT_OK;
#pragma clang loop unroll(disable)
#ifdef FIXED
	for (int i = 0; i < PORTS; i++)
#else
	for (int i = 0; i <= PORTS; i++) // <-
#endif
		if (l->ports[i] == skb->mark) // <-
			return TC_ACT_SHOT;
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-index, map-value-too-small, map-value-unbounded
