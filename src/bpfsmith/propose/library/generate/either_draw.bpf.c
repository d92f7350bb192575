#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__hidden struct bpf_spin_lock state_lock SEC(".data.state");
__hidden __u32 n SEC(".data.state") = 0;

SEC("xdp")
int either_draw(struct xdp_md *ctx)
{
	__u32 draw = bpf_get_prandom_u32(), now;

	bpf_spin_lock(&state_lock);
	n = n + 1;
	now = n;
	bpf_spin_unlock(&state_lock);
	return draw < 2147483648u || now < 8 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
