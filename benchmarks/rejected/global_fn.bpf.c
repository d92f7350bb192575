/* A function that is not static is checked without its callers. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct five { __u32 saddr, daddr; __u16 sport, dport; __u8 proto; __u8 pad[3]; };

__noinline __u32 hash_of(struct five *t)
{
#ifdef FIXED
	if (!t)
		return 0;
#endif
	return t->saddr ^ t->daddr ^ ((__u32)t->sport << 16 | t->dport) ^ t->proto; // <-
}

SEC("tc")
int spread(struct __sk_buff *skb)
{
	struct five t = {};
	t.saddr = skb->hash;
	t.daddr = skb->ifindex;
	t.dport = skb->vlan_tci;
	skb->mark = hash_of(&t) & 7;
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: null-unchecked, memory-bounds
