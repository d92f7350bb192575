#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__u32 kept = 0;

SEC("xdp")
int keep_most(struct xdp_md *ctx)
{
	__u32 draw = bpf_get_prandom_u32();

	if (draw >= 3865470567u)
		return XDP_DROP;
	__atomic_fetch_add(&kept, 1u, __ATOMIC_RELAXED);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
