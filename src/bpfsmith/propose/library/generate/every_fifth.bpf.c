#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__hidden struct bpf_spin_lock state_lock SEC(".data.state");
__hidden __u32 turn SEC(".data.state") = 0;

SEC("xdp")
int every_fifth(struct xdp_md *ctx)
{
	int verdict = XDP_PASS;

	bpf_spin_lock(&state_lock);
	turn = turn + 1;
	if (turn % 5 == 0)
		verdict = XDP_DROP;
	bpf_spin_unlock(&state_lock);
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
