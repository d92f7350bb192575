/* Submits the part that was meant. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event { __u64 when; char comm[16]; };
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(".maps");

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);
	if (!e)
		return 0;
	e->when = bpf_ktime_get_ns();
	bpf_get_current_comm(e->comm, sizeof(e->comm));
#ifdef FIXED
	bpf_ringbuf_submit(e, 0);
#else
	bpf_ringbuf_submit(e->comm, 0); // <-
#endif
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: argument-type, context-modified, pointer-arithmetic, reference-released
