// How long calls of a function of a process take: the time of the entry waits in a hash until the exit comes for it.
// The loader says which process (targ_tgid) and which function.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

#define SLOTS 32

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} starts SEC(".maps");

const volatile __u32 targ_tgid = 0;
__u64 latency_us[SLOTS];
__u64 calls;

static __always_inline __u32 log2_slot(__u64 value)
{
	__u32 slot = 0;

	for (int step = 32; step; step >>= 1) {
		if (value >> step) {
			value >>= step;
			slot += step;
		}
	}
	return slot < SLOTS ? slot : SLOTS - 1;
}

SEC("uprobe")
int function_entry(void *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = id;
	__u64 now;

	if (targ_tgid && targ_tgid != id >> 32)
		return 0;
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&starts, &tid, &now, BPF_ANY);
	return 0;
}

SEC("uretprobe")
int function_exit(void *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 *start = bpf_map_lookup_elem(&starts, &tid);

	if (!start)
		return 0;
	__sync_fetch_and_add(&calls, 1);
	__sync_fetch_and_add(&latency_us[log2_slot((bpf_ktime_get_ns() - *start) / 1000)], 1);
	bpf_map_delete_elem(&starts, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
