#include <bpfsmith/helpers.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

SEC("xdp") int trailer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
	__u64 length = __builtin_bswap16(ip->tot_len);
#ifdef FIXED
	if (length > 1500)
		return XDP_PASS;
#endif
	__u8 *end = (void *)ip + length; // <-
	if ((void *)(end + 1) > data_end)
		return XDP_PASS;
	return *end == 7 ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
