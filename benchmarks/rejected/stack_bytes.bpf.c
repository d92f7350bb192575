/* Sends the stack, as much as there is of it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct trace { __u64 ip[64]; };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct trace);
} traces SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} rb SEC(".maps");

SEC("perf_event")
int sample(void *ctx)
{
	__u32 zero = 0;
	struct trace *t = bpf_map_lookup_elem(&traces, &zero);
	if (!t)
		return 0;
	long n = bpf_get_stack(ctx, t->ip, sizeof(t->ip), 0); // <-
#ifdef FIXED
	if (n <= 0 || n > sizeof(t->ip))
		return 0;
#endif
	bpf_ringbuf_output(&rb, t->ip, n, 0); // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: helper-size-negative
