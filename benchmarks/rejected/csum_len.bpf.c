/* Sums a datagram by its own length. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

__u32 last_sum;

SEC("xdp")
int sum(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct udphdr *udp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	if ((void *)(udp + 1) > data_end)
		return XDP_PASS;
	__u32 len = bpf_ntohs(udp->len);
#ifdef FIXED
	if (len > 512)
		return XDP_PASS;
	if ((void *)udp + 512 > data_end)
		return XDP_PASS;
	len &= ~3;
#endif
	last_sum = bpf_csum_diff(0, 0, (void *)udp, len, 0); // <-
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: helper-size-unbounded
