#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define TASK_COMM_LEN 16

struct key_t { __u32 pid; char comm[TASK_COMM_LEN]; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct key_t);
	__type(value, __u64);
} counts SEC(".maps");

SEC("raw_tp/sys_enter")
int count_syscall(void *ctx)
{
	struct key_t key = {}; // <-
	__u64 one = 1, *n;

	key.pid = bpf_get_current_pid_tgid() >> 32;
#ifdef FIXED
	bpf_get_current_comm(key.comm, sizeof(key.comm));
#else
	bpf_get_current_comm(key.comm, 64); // <-
#endif
	n = bpf_map_lookup_elem(&counts, &key);
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_NOEXIST);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: stack-out-of-bounds
