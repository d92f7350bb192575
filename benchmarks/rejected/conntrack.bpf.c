#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct flow { __u64 pkts, bytes; __u8 seen_reply; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4096); __type(key, __u32); __type(value, struct flow); } flows SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); } counters SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *c = bpf_map_lookup_elem(&counters, &which);
#ifdef FIXED
	if (c)
#endif
	*c += 1; // <-
}

static __always_inline int handle(struct __sk_buff *skb, __u32 key)
{
	struct flow *f = bpf_map_lookup_elem(&flows, &key);
	if (f) {
		f->pkts++;
		f->bytes += skb->len;
		count(1);
		return TC_ACT_OK;
	}
	count(2);
	return TC_ACT_SHOT;
}

SEC("tc")
int ct(struct __sk_buff *skb)
{
	return handle(skb, skb->hash);
}
char _license[] SEC("license") = "GPL";
// cause: null-unchecked
