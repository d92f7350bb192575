#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event { __u32 pid; __u32 ppid; };

struct {
#ifdef FIXED
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
#else
	__uint(type, BPF_MAP_TYPE_RINGBUF); // <-
	__uint(max_entries, 4096);
#endif
} events SEC(".maps");

SEC("tracepoint/sched/sched_process_fork")
int on_fork(void *ctx)
{
	struct event e = {};
	e.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &e, sizeof(e)); // <-
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: map-type
