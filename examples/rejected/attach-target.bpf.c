#include <bpfsmith/helpers.h>

#ifdef FIXED
SEC("tp_btf/sched_switch")
#else
SEC("fmod_ret/vfs_read") // <-
#endif
int look(unsigned long long *ctx)
{
	return 0;
}
char _license[] SEC("license") = "GPL";
