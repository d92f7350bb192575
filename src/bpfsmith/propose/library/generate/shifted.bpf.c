#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__hidden struct bpf_spin_lock state_lock SEC(".data.state");
__hidden __s32 shift SEC(".data.state") = 5;

SEC("xdp")
int shifted(struct xdp_md *ctx)
{
	int verdict = XDP_PASS;

	bpf_spin_lock(&state_lock);
	shift = shift * 7 - 3;
	if (rem_s32(shift, 4) == 1)
		verdict = XDP_DROP;
	bpf_spin_unlock(&state_lock);
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
