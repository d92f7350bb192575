// What opening a file asked for and what came of it: the state is nothing but an argument, which fexit is given again.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} names SEC(".maps");

const volatile __u32 targ_tgid = 0;
__u64 calls, failed, below_root;

SEC("fentry/do_sys_openat2")
int open_entry(__u64 *ctx) // int dfd, const char *filename, struct open_how *how
{
	__u64 id = bpf_get_current_pid_tgid(), name = ctx[1];
	__u32 tid = id;

	if (targ_tgid && targ_tgid != id >> 32)
		return 0;
	bpf_map_update_elem(&names, &tid, &name, BPF_ANY);
	return 0;
}

SEC("fexit/do_sys_openat2")
int open_exit(__u64 *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 *name = bpf_map_lookup_elem(&names, &tid);
	char first = 0;

	if (!name)
		return 0;
	__sync_fetch_and_add(&calls, 1);
	if ((__s64)ctx[3] < 0)
		__sync_fetch_and_add(&failed, 1);
	bpf_probe_read_user(&first, 1, (void *)*name);
	if (first == '/')
		__sync_fetch_and_add(&below_root, 1);
	bpf_map_delete_elem(&names, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
