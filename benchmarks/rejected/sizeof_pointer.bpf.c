/* The size of a pointer to a header. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("xdp")
int only_udp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > data_end)
		return XDP_DROP;
	struct iphdr *iph = data + sizeof(*eth);
#ifdef FIXED
	if ((void *)iph + sizeof(*iph) > data_end)
#else
	if ((void *)iph + sizeof(iph) > data_end) // <-
#endif
		return XDP_DROP;
	return iph->protocol == 17 ? XDP_PASS : XDP_DROP; // <-
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small
