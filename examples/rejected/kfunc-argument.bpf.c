#include <bpfsmith/helpers.h>

#define __ksym __attribute__((section(".ksyms")))

struct task_struct;
struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym;
void bpf_task_release(struct task_struct *task) __ksym;

SEC("tp_btf/sched_switch") int hold(unsigned long long *ctx)
{
#ifdef FIXED
	struct task_struct *task = (void *)ctx[1];
#else
	long number = 7;
	struct task_struct *task = (void *)&number;
#endif
	struct task_struct *held = bpf_task_acquire(task); // <-
	if (held)
		bpf_task_release(held);
	return 0;
}
char _license[] SEC("license") = "GPL";
