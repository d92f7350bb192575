#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__hidden struct bpf_spin_lock state_lock SEC(".data.state");
__hidden __u32 count SEC(".data.state") = 0;
__hidden __u32 dropped SEC(".data.state") = 0;

SEC("xdp")
int warm_drop(struct xdp_md *ctx)
{
	__u32 draw = bpf_get_prandom_u32();
	int verdict = XDP_PASS;

	bpf_spin_lock(&state_lock);
	count = count + 1;
	if (count > 50 && draw < 429496730u) {
		dropped = dropped + 1;
		verdict = XDP_DROP;
	}
	bpf_spin_unlock(&state_lock);
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
