#include <bpfsmith/helpers.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

SEC("xdp") int drop_port_53(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	if ((void *)(ip + 1) + 8 > data_end)
		return XDP_PASS;
	__u16 *ports = (void *)ip + ip->ihl * 4;
#ifdef FIXED
	if ((void *)(ports + 2) > data_end)
		return XDP_PASS;
#endif
	return ports[1] == 0x3500 ? XDP_DROP : XDP_PASS; // <-
}
char _license[] SEC("license") = "GPL";
