#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

struct {
#ifdef FIXED
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(value_size, 127 * 8);
#else
	__uint(type, BPF_MAP_TYPE_HASH); // <-
	__uint(value_size, 127 * 8);
#endif
	__uint(key_size, 4);
	__uint(max_entries, 1024);
} stacks SEC(".maps"); // <-
int last;

SEC("perf_event")
int sample(void *ctx)
{
	last = bpf_get_stackid(ctx, &stacks, 0); // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: map-type
