/* Passes the key where its address is wanted. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, __u64);
	__type(value, __u64);
} started SEC(".maps");

SEC("raw_tp/sys_exit")
int exit_syscall(void *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
#ifdef FIXED
	bpf_map_delete_elem(&started, &id);
#else
	bpf_map_delete_elem(&started, (void *)id); // <-
#endif
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: argument-type
