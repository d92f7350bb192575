#include <bpfsmith/helpers.h>

struct task_struct {
	int pid;
#ifndef FIXED
	int no_such_field;
#endif
} __attribute__((preserve_access_index));

SEC("tp_btf/sched_switch") int look(unsigned long long *ctx)
{
	struct task_struct *task = (void *)ctx[1];
#ifdef FIXED
	return task->pid == 7;
#else
	return task->no_such_field == 7; // <-
#endif
}
char _license[] SEC("license") = "GPL";
