// How long the reads and writes of a process at an offset (pread64, pwrite64) take, and how many bytes they moved.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

#define SLOTS 32
#define NR_PREAD64 17
#define NR_PWRITE64 18

struct start {
	__u64 ts;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct start);
} starts SEC(".maps");

__u64 latency_us[SLOTS];
__u64 calls, asked, moved;

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

SEC("tp_btf/sys_enter")
int enter(__u64 *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct start start;

	if (ctx[1] != NR_PREAD64 && ctx[1] != NR_PWRITE64)
		return 0;
	start.ts = bpf_ktime_get_ns();
	start.bytes = 512;
	bpf_map_update_elem(&starts, &tid, &start, BPF_ANY);
	return 0;
}

SEC("tp_btf/sys_exit")
int leave(__u64 *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct start *start = bpf_map_lookup_elem(&starts, &tid);

	if (!start)
		return 0;
	__sync_fetch_and_add(&calls, 1);
	__sync_fetch_and_add(&asked, start->bytes);
	if ((__s64)ctx[1] > 0)
		__sync_fetch_and_add(&moved, ctx[1]);
	__sync_fetch_and_add(&latency_us[log2_slot((bpf_ktime_get_ns() - start->ts) / 1000)], 1);
	bpf_map_delete_elem(&starts, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
