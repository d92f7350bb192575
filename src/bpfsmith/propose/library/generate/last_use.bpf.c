#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
#include <bpfsmith/fixed.h>

__hidden struct bpf_spin_lock state_lock SEC(".data.state");
__hidden __u64 used SEC(".data.state") = 0;
__hidden __u32 hits SEC(".data.state") = 0;

SEC("xdp")
int last_use(struct xdp_md *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	int verdict = XDP_PASS;

	bpf_spin_lock(&state_lock);
	if ((__s64)fx_seconds(now, used) > (__s64)0x200000000ULL)
		hits = 0;
	else
		hits = hits + 1;
	used = now;
	if (hits > 10)
		verdict = XDP_DROP;
	bpf_spin_unlock(&state_lock);
	return verdict;
}

SEC("syscall")
int last_use_init(void *ctx)
{
	used = bpf_ktime_get_ns();
	hits = 0;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
