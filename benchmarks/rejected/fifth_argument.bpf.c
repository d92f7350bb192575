#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

int seen_pid;

SEC("tp_btf/sched_wakeup")
int on_wakeup(__u64 *ctx)
{
#ifdef FIXED
	struct task_struct *p = (void *)ctx[0];
#else
	struct task_struct *p = (void *)ctx[1]; // <-
#endif
	seen_pid = p->pid;
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: context-access
