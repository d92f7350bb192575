#include <bpfsmith/helpers.h>

static long (*bpf_from_tomorrow)(void) = (void *)9999;

SEC("xdp") int call(struct xdp_md *ctx)
{
#ifdef FIXED
	return XDP_PASS;
#else
	return bpf_from_tomorrow(); // <-
#endif
}
char _license[] SEC("license") = "GPL";
