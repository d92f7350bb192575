/* A lock as one would take it in a driver. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct shared { __u32 busy; __u32 n; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shared);
} state SEC(".maps");

SEC("tc")
int count(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct shared *s = bpf_map_lookup_elem(&state, &zero);
	if (!s)
		return TC_ACT_OK;
#ifdef FIXED
	__sync_fetch_and_add(&s->n, 1);
#else
	while (__sync_lock_test_and_set(&s->busy, 1)) // <-
		;
	s->n++;
	s->busy = 0;
#endif
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: loop-infinite, loop, too-many-insns
