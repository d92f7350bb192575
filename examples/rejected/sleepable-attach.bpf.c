#include <bpfsmith/helpers.h>

#ifdef FIXED
SEC("iter/task")
#else
SEC("tp_btf.s/sched_switch") // <-
#endif
int look(unsigned long long *ctx)
{
	return 0;
}
char _license[] SEC("license") = "GPL";
