#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

const volatile char secret = 's';

SEC("tp/syscalls/sys_enter_openat")
int handle_open(struct trace_event_raw_sys_enter *ctx)
{
	const char *filename = (const char *)ctx->args[1];
#ifdef FIXED
	char first = 0;
	bpf_probe_read_user(&first, sizeof(first), filename);
	if (first == secret)
#else
	if (filename[0] == secret) // <-
#endif
		bpf_printk("open of a secret file\n");
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
// cause: number-as-pointer
