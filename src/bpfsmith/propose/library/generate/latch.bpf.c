#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__hidden struct bpf_spin_lock state_lock SEC(".data.state");
__hidden _Bool odd SEC(".data.state") = 0;
__hidden __u32 turned SEC(".data.state") = 0;

SEC("xdp")
int latch(struct xdp_md *ctx)
{
	int verdict = XDP_PASS;

	bpf_spin_lock(&state_lock);
	odd = !odd;
	if (odd)
		turned = turned + 1;
	else
		verdict = XDP_DROP;
	bpf_spin_unlock(&state_lock);
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
