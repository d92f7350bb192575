#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
#include <bpfsmith/fixed.h>

__hidden struct bpf_spin_lock state_lock SEC(".data.state");
__hidden __u64 credit SEC(".data.state") = 0x400000000ULL;

SEC("xdp")
int budget(struct xdp_md *ctx)
{
	int verdict = XDP_PASS;

	bpf_spin_lock(&state_lock);
	credit = min_s64(0x400000000ULL, fx_add(credit, 0x80000000ULL));
	if ((__s64)credit >= (__s64)0x100000000ULL)
		credit = fx_sub(credit, 0xc0000000ULL);
	else
		verdict = XDP_DROP;
	bpf_spin_unlock(&state_lock);
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
