/* The index is checked, and then read again. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct ring {
	__u32 head;
	__u64 ts[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ring);
} rings SEC(".maps");

SEC("raw_tracepoint/sys_enter")
int record(void *ctx)
{
	__u32 key = 0;
	struct ring *r = bpf_map_lookup_elem(&rings, &key);

	if (!r)
		return 0;
#ifdef FIXED
	__u32 head = r->head;
	if (head >= 64)
		head = r->head = 0;
	r->ts[head] = bpf_ktime_get_ns();
	r->head = head + 1;
#else
	if (r->head >= 64)
		r->head = 0;
	__u64 now = bpf_ktime_get_ns();
	r->ts[r->head] = now; // <-
	r->head++;
#endif
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: map-value-unbounded, map-value-index
