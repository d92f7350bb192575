#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct session { struct bpf_timer idle; __u64 packets; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct session);
} sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct session);
} archive SEC(".maps");

SEC("tc")
int count(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct session *found = bpf_map_lookup_elem(&sessions, &key);

	if (!found)
		return 0;
#ifdef FIXED
	bpf_timer_init(&found->idle, &sessions, 1);
#else
	bpf_timer_init(&found->idle, &archive, 1); // <-
#endif
	found->packets++;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
