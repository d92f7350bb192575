#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct entry {
	__u32 count;
	struct bpf_spin_lock lock;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct entry);
} table SEC(".maps");

SEC("tc")
int guard(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct entry *e = bpf_map_lookup_elem(&table, &key);

	if (!e)
		return 0;
	bpf_spin_lock(&e->lock);
	if (e->count >= 100) { // <-
#ifdef FIXED
		bpf_spin_unlock(&e->lock);
#endif
		return 2; // <-
	}
	e->count++;
	bpf_spin_unlock(&e->lock);
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: lock-missing-unlock
