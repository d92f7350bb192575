#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_write") int copy(unsigned long *ctx)
{
	char buffer[64];
	long size = ctx[4];
#ifdef FIXED
	if (size < 0)
		return 0;
#endif
	if (size > (long)sizeof(buffer))
		return 0;
	bpf_probe_read_user(buffer, size, (void *)ctx[3]); // <-
	return buffer[0] == 'x';
}
char _license[] SEC("license") = "GPL";
