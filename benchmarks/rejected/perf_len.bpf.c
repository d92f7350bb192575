/* Emits the path with its own length. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");
struct buf { char text[256]; };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct buf);
} bufs SEC(".maps");
struct args { __u64 common; __u64 nr; long dfd; const char *name; };

SEC("tp/syscalls/sys_enter_openat")
int on_open(struct args *ctx)
{
	__u32 zero = 0;
	struct buf *b = bpf_map_lookup_elem(&bufs, &zero);
	if (!b)
		return 0;
	int n = bpf_probe_read_user_str(b->text, sizeof(b->text), ctx->name); // <-
#ifdef FIXED
	if (n < 0 || n > sizeof(b->text))
		return 0;
#endif
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, b->text, n); // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: helper-size-negative
