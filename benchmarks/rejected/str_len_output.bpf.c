/* Sends as many bytes as the string has. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAX_LEN 256

struct event {
	__u32 pid;
	char path[MAX_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct event);
} heap SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(int));
	__uint(value_size, sizeof(int));
} events SEC(".maps");

struct sys_enter_args { __u64 pad; long id; unsigned long args[6]; };

SEC("tracepoint/syscalls/sys_enter_unlinkat")
int on_unlink(struct sys_enter_args *ctx)
{
	int zero = 0;
	struct event *e = bpf_map_lookup_elem(&heap, &zero);
	if (!e)
		return 0;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	int len = bpf_probe_read_user_str(e->path, sizeof(e->path), (void *)ctx->args[1]);
#ifdef FIXED
	if (len < 0 || len > MAX_LEN)
		return 0;
#endif
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, e, sizeof(e->pid) + len); // <-
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: helper-size-negative, helper-size-unbounded, map-value-index
