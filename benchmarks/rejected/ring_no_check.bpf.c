#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct exec_event { u32 pid; u64 ts; char comm[16]; };

struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 256 * 1024); } events SEC(".maps");

static __always_inline void fill(struct exec_event *ev)
{
	ev->pid = bpf_get_current_pid_tgid() >> 32; // <-
	ev->ts = bpf_ktime_get_ns();
	bpf_get_current_comm(ev->comm, sizeof(ev->comm));
}

SEC("tracepoint/syscalls/sys_enter_execve")
int trace_execve(struct trace_event_raw_sys_enter *ctx)
{
	struct exec_event *ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
#ifdef FIXED
	if (!ev)
		return 0;
#endif
	fill(ev); // <-
	bpf_ringbuf_submit(ev, 0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: null-unchecked
