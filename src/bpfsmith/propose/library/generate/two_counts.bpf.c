#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__hidden struct bpf_spin_lock state_lock SEC(".data.state");
__hidden __u32 total SEC(".data.state") = 0;
__hidden __u32 tenth SEC(".data.state") = 0;

SEC("xdp")
int two_counts(struct xdp_md *ctx)
{
	bpf_spin_lock(&state_lock);
	total = total + 1;
	if (total % 10 == 0)
		tenth = tenth + 1;
	bpf_spin_unlock(&state_lock);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
