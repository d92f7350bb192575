/* fib lookup with the parameter block larger than what is passed. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define AF_INET 2

SEC("xdp")
int forward(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct bpf_fib_lookup fib = {}; // <-
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > data_end)
		return XDP_DROP;
	fib.family = AF_INET;
	fib.ipv4_src = ip->saddr;
	fib.ipv4_dst = ip->daddr;
	fib.ifindex = ctx->ingress_ifindex;
#ifdef FIXED
	int rc = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
#else
	int rc = bpf_fib_lookup(ctx, &fib, 128, 0); // <-
#endif
	if (rc != 0)
		return XDP_PASS;
	return bpf_redirect(fib.ifindex, 0);
}
char _license[] SEC("license") = "GPL";
// cause: stack-out-of-bounds
