/* Answers nothing, counts echo requests. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/icmp.h>
#include <bpf/bpf_helpers.h>

__u64 echoes;

SEC("xdp")
int echo(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
	if (ip->protocol != 1)
		return XDP_PASS;
	struct icmphdr *icmp = (void *)(ip + 1);
#ifdef FIXED
	if ((void *)(icmp + 1) > data_end)
#else
	if ((void *)icmp > data_end) // <-
#endif
		return XDP_PASS;
	if (icmp->type == ICMP_ECHO) // <-
		echoes++;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small
