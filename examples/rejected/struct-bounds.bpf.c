#include <bpfsmith/helpers.h>

struct task_struct;

SEC("tp_btf/sched_switch") int far(unsigned long long *ctx)
{
#ifdef FIXED
	volatile __u64 *task = (void *)ctx[1];
	return *task == 7;
#else
	volatile __u64 *task = (void *)ctx[1];
	return task[9999] == 7; // <-
#endif
}
char _license[] SEC("license") = "GPL";
