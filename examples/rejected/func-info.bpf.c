#include <bpfsmith/helpers.h>

#ifdef FIXED
static
#endif
long body(__u64 i, void *context)
{
	return 0;
}

SEC("xdp") // <-
int start(struct xdp_md *ctx)
{
	bpf_loop(3, body, 0, 0);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
