/* A path is put together in a per-CPU buffer. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define BUFSZ 1024
struct buf { char data[BUFSZ]; };
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, struct buf); } bufs SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } events SEC(".maps");
struct sys_enter_args { __u64 pad; long id; unsigned long args[6]; };

SEC("tracepoint/syscalls/sys_enter_renameat2")
int on_rename(struct sys_enter_args *ctx)
{
	int zero = 0;
	struct buf *b = bpf_map_lookup_elem(&bufs, &zero);
	if (!b)
		return 0;
	int off = bpf_probe_read_user_str(b->data, 256, (void *)ctx->args[1]);
#ifdef FIXED
	if (off < 0 || off > 256)
		return 0;
#endif
	int len = bpf_probe_read_user_str(&b->data[off], 256, (void *)ctx->args[3]); // <-
#ifdef FIXED
	if (len < 0 || len > 256)
		return 0;
#endif
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, b->data, off + len); // <-
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: map-value-unbounded, map-value-negative, map-value-index, helper-size-negative, helper-size-unbounded
