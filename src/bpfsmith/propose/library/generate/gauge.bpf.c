#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__hidden struct bpf_spin_lock state_lock SEC(".data.state");
__hidden __s32 level SEC(".data.state") = 0;
__hidden __u32 resets SEC(".data.state") = 0;

SEC("xdp")
int gauge(struct xdp_md *ctx)
{
	int verdict = XDP_PASS;

	bpf_spin_lock(&state_lock);
	level = level + 3;
	if (level > 20) {
		level = level - 20;
		resets = resets + 1;
		verdict = XDP_DROP;
	}
	bpf_spin_unlock(&state_lock);
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
