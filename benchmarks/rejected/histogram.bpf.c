/* log2 histogram with one slot too few. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAX_SLOTS 27

struct hist { __u32 slots[MAX_SLOTS]; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct hist);
} hists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} start SEC(".maps");

static __always_inline __u64 log2l(__u64 v)
{
	__u64 r = 0;
	for (int i = 32; i; i >>= 1)
		if (v >> i) {
			v >>= i;
			r += i;
		}
	return r;
}

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid();
	__u64 now = bpf_ktime_get_ns(), *began = bpf_map_lookup_elem(&start, &pid), slot;
	struct hist *h;

	if (!began)
		return 0;
	h = bpf_map_lookup_elem(&hists, &pid);
	if (!h)
		return 0;
	slot = log2l(now - *began);
#ifdef FIXED
	if (slot >= MAX_SLOTS)
		slot = MAX_SLOTS - 1;
#else
	if (slot > MAX_SLOTS) // <-
		slot = MAX_SLOTS;
#endif
	__sync_fetch_and_add(&h->slots[slot], 1); // <-
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: map-value-index
