/* Headers through a dynptr. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer, u32 buffer__szk) __ksym;

SEC("xdp")
int ttl(struct xdp_md *ctx)
{
	struct bpf_dynptr ptr;
	struct iphdr buffer, *ip;

	if (bpf_dynptr_from_xdp(ctx, 0, &ptr))
		return XDP_PASS;
	ip = bpf_dynptr_slice(&ptr, sizeof(struct ethhdr), &buffer, sizeof(buffer));
#ifdef FIXED
	if (!ip)
		return XDP_PASS;
#endif
	return ip->ttl < 2 ? XDP_DROP : XDP_PASS; // <-
}
char _license[] SEC("license") = "GPL";
// cause: null-unchecked
