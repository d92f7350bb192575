/* Goes to the last byte of the datagram by the length that the packet states. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/in.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("xdp")
int trailer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > data_end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
#ifdef FIXED
	__u64 len = bpf_ntohs(udp->len);
	if (len < 9 || len > 1500)
		return XDP_PASS;
#else
	long len = bpf_ntohs(udp->len); // <-
	len -= 1;
	len = (len << 32) >> 32;
#endif
	__u8 *last = (void *)udp + len; // <-
	if ((void *)(last + 1) > data_end)
		return XDP_PASS;
	return *last == 0xff ? XDP_DROP : XDP_PASS; // <-
}
char _license[] SEC("license") = "GPL";
// cause: packet-offset-far, packet-offset-unbounded, pointer-range
