/* Moves credit from one account to another. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct account { struct bpf_spin_lock lock; __u64 credit; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct account);
} accounts SEC(".maps");

SEC("tc")
int transfer(struct __sk_buff *skb)
{
	__u32 from = skb->mark & 15, to = skb->priority & 15;
	struct account *a = bpf_map_lookup_elem(&accounts, &from);
	struct account *b = bpf_map_lookup_elem(&accounts, &to);
	if (!a || !b)
		return TC_ACT_OK;
#ifdef FIXED
	bpf_spin_lock(&a->lock);
	a->credit -= skb->len;
	bpf_spin_unlock(&a->lock);
	bpf_spin_lock(&b->lock);
	b->credit += skb->len;
	bpf_spin_unlock(&b->lock);
#else
	bpf_spin_lock(&a->lock);
	bpf_spin_lock(&b->lock); // <-
	a->credit -= skb->len;
	b->credit += skb->len;
	bpf_spin_unlock(&b->lock);
	bpf_spin_unlock(&a->lock);
#endif
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: lock-order, lock-call
