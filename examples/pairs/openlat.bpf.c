// How long the kernel takes to open files, by the outcome: fentry and fexit, or with -DKPROBE kprobe and kretprobe.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

#ifdef KPROBE
#define ENTRY "kprobe/do_sys_openat2"
#define EXIT "kretprobe/do_sys_openat2"
#define RESULT(ret) ret = ctx[10] // ax of x86-64's struct pt_regs
#else
#define ENTRY "fentry/do_sys_openat2"
#define EXIT "fexit/do_sys_openat2"
#define RESULT(ret) bpf_get_func_ret(ctx, &ret)
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} starts SEC(".maps");

__u64 calls, failed, took_ns;

SEC(ENTRY)
int open_entry(__u64 *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&starts, &tid, &now, BPF_ANY);
	return 0;
}

SEC(EXIT)
int open_exit(__u64 *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 *start = bpf_map_lookup_elem(&starts, &tid), ret = 0;

	if (!start)
		return 0;
	__sync_fetch_and_add(&calls, 1);
	RESULT(ret);
	if ((int)ret < 0)
		__sync_fetch_and_add(&failed, 1);
	__sync_fetch_and_add(&took_ns, bpf_ktime_get_ns() - *start);
	bpf_map_delete_elem(&starts, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
