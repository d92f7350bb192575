#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} wakeups SEC(".maps");

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *p)
{
	u64 *n = bpf_task_storage_get(&wakeups, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
#ifdef FIXED
	if (!n)
		return 0;
#endif
	*n += 1; // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: null-unchecked
