#include <bpfsmith/helpers.h>

SEC("tp_btf/sched_switch") int change(unsigned long long *ctx)
{
	volatile __u64 *task = (void *)ctx[1];
#ifdef FIXED
	return task[0] == 7;
#else
	task[0] = 7; // <-
	return 0;
#endif
}
char _license[] SEC("license") = "GPL";
