#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tracepoint/syscalls/sys_enter_kill")
int note_kill(void *ctx)
{
	char comm[16];
	bpf_get_current_comm(comm, sizeof(comm));
	bpf_printk("kill by %s", comm); // <-
	return 0;
}

#ifdef FIXED
char LICENSE[] SEC("license") = "Dual MIT/GPL";
#else
char LICENSE[] SEC("license") = "MIT"; // <-
#endif
// cause: gpl
