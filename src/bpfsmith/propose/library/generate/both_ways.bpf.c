#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__hidden struct bpf_spin_lock state_lock SEC(".data.state");
__hidden __s32 open SEC(".data.state") = 0;
__hidden __u32 closed SEC(".data.state") = 0;

SEC("xdp")
int both_ways(struct xdp_md *ctx)
{
	int verdict = XDP_PASS;

	bpf_spin_lock(&state_lock);
	if (open > 30)
		verdict = XDP_DROP;
	else
		open = open + 1;
	bpf_spin_unlock(&state_lock);
	return verdict;
}

SEC("tcx/egress")
int both_ways_resp(struct __sk_buff *ctx)
{
	bpf_spin_lock(&state_lock);
	if (open > 0) {
		open = open - 1;
		closed = closed + 1;
	}
	bpf_spin_unlock(&state_lock);
	return TCX_PASS;
}

char LICENSE[] SEC("license") = "GPL";
