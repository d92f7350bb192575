/* Looks at the last four bytes of the IP packet. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

__u32 trailers;

SEC("xdp")
int trailer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
	__u32 len = bpf_ntohs(ip->tot_len);
#ifdef FIXED
	if (len > 1500)
		return XDP_PASS;
#endif
	__u32 *tail = data + sizeof(struct ethhdr) + len; // <-
	if ((void *)(tail + 1) > data_end)
		return XDP_PASS;
	if (*tail == 0xdeadbeef) // <-
		trailers++;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-offset-far
