#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__u32 seen = 0;

SEC("xdp")
int count(struct xdp_md *ctx)
{
	__atomic_fetch_add(&seen, 1u, __ATOMIC_RELAXED);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
