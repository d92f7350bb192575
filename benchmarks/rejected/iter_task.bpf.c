/* Counts the kernel's own threads. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

int threads;

SEC("iter/task")
int each(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
#ifdef FIXED
	if (!task)
		return 0;
#endif
	if (task->flags & 0x00200000) // <-
		threads++;
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: null-unchecked
