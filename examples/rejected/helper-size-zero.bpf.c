#include <bpfsmith/helpers.h>

SEC("tracepoint/syscalls/sys_enter_write") int copy(unsigned long *ctx)
{
	static const char word[] = "needle";
	char buffer[64] = {};
	__u64 size = ctx[4] & 63;
#ifdef FIXED
	if (!size)
		return 0;
#endif
	return bpf_strncmp(buffer, size, word) == 0; // <-
}
char _license[] SEC("license") = "GPL";
