/* The name of the process, with a size from another header. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define NAME_LEN 32
struct event { __u64 pid; char comm[16]; };
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(".maps");

SEC("tp/sched/sched_process_fork")
int on_fork(void *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);
	if (!e)
		return 0;
	e->pid = bpf_get_current_pid_tgid() >> 32;
#ifdef FIXED
	bpf_get_current_comm(e->comm, sizeof(e->comm));
#else
	bpf_get_current_comm(e->comm, NAME_LEN); // <-
#endif
	bpf_ringbuf_submit(e, 0);
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: memory-bounds
