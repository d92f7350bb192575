#include <bpfsmith/helpers.h>

#ifdef FIXED
SEC("uprobe.s/libc.so.6:read")
#else
SEC("uprobe/libc.so.6:read") // <-
#endif
int copy(unsigned long *ctx)
{
	char buffer[8];
	bpf_copy_from_user(buffer, sizeof(buffer), (void *)ctx[13]); // <-
	return buffer[0] == 'x';
}
char _license[] SEC("license") = "GPL";
