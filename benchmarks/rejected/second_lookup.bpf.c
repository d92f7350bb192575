/* Checks one lookup and dereferences another. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct conn { __u64 packets; __u64 bytes; __u32 state; };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct conn);
} conns SEC(".maps");

SEC("socket")
int count(struct __sk_buff *skb)
{
	__u32 key = skb->hash;
	struct conn fresh = { .packets = 1, .bytes = skb->len };

	if (!bpf_map_lookup_elem(&conns, &key)) {
		bpf_map_update_elem(&conns, &key, &fresh, BPF_NOEXIST);
		return 0;
	}
	struct conn *c = bpf_map_lookup_elem(&conns, &key);
#ifdef FIXED
	if (!c)
		return 0;
#endif
	c->packets += 1; // <-
	c->bytes += skb->len; // <-
	return c->state; // <-
}
char _license[] SEC("license") = "GPL";
// cause: null-unchecked
