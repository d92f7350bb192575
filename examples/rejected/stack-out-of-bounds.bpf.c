#include <bpfsmith/helpers.h>

SEC("kprobe/vfs_read") int name(void *ctx)
{
#ifdef FIXED
	char comm[16];
#else
	char comm[8]; // <-
#endif
	bpf_get_current_comm(comm, 16);
	return comm[0] == 'x';
}
char _license[] SEC("license") = "GPL";
