#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

SEC("xdp")
int lottery(struct xdp_md *ctx)
{
	if (bpf_get_prandom_u32() < 1073741824u)
		return XDP_DROP;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
