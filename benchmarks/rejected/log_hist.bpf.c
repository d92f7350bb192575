/* Latencies by powers of two. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 slots[27];
__u64 started;

static __always_inline __u32 log2_of(__u64 v)
{
	__u32 r = 0;
	if (v >> 32) { v >>= 32; r += 32; }
	if (v >> 16) { v >>= 16; r += 16; }
	if (v >> 8) { v >>= 8; r += 8; }
	if (v >> 4) { v >>= 4; r += 4; }
	if (v >> 2) { v >>= 2; r += 2; }
	return r + (v >> 1);
}

SEC("tp/sched/sched_switch")
int latency(void *ctx)
{
	__u32 slot = log2_of(bpf_ktime_get_ns() - started); // <-
#ifdef FIXED
	if (slot >= 27)
		slot = 26;
#endif
	slots[slot]++; // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-unbounded, map-value-index
