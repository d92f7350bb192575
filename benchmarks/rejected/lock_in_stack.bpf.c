/* A lock of one's own, for a counter of all. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct counter { struct bpf_spin_lock lock; __u64 n; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

SEC("tc")
int count(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct counter *c = bpf_map_lookup_elem(&counters, &zero);
	if (!c)
		return TC_ACT_OK;
#ifdef FIXED
	bpf_spin_lock(&c->lock);
	c->n++;
	bpf_spin_unlock(&c->lock);
#else
	struct bpf_spin_lock lock = {}; // <-
	bpf_spin_lock(&lock); // <-
	c->n++;
	bpf_spin_unlock(&lock);
#endif
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: argument-type, lock-not-held
