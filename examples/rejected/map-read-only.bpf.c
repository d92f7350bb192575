#include <bpfsmith/helpers.h>

const volatile __u32 limit = 10;

SEC("xdp") int tighten(struct xdp_md *ctx)
{
#ifdef FIXED
	return limit > 5 ? XDP_DROP : XDP_PASS;
#else
	*(volatile __u32 *)&limit = 5; // <-
	return XDP_PASS;
#endif
}
char _license[] SEC("license") = "GPL";
