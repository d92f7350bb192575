#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_write") int copy(unsigned long *ctx)
{
	char buffer[64];
	__u32 size = ((__u32 *)ctx)[8];
#ifdef FIXED
	if (size > sizeof(buffer))
		return 0;
#endif
	bpf_probe_read_user(buffer, size, (void *)ctx[3]); // <-
	return buffer[0] == 'x';
}
char _license[] SEC("license") = "GPL";
