/* Counts the nibbles of an address. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int nibbles(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)(long)ctx->data + sizeof(struct ethhdr);
	__u8 seen[16] = {};

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
#ifdef FIXED
	seen[ip->tos & 15] = 1;
#else
	seen[ip->tos & 31] = 1; // <-
#endif
	seen[ip->protocol & 15] |= 2;
	return seen[ip->ttl & 15] ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: stack-variable-offset, stack-out-of-bounds
