/* An inlined parser that is called with a pointer that was checked, and with one that was not. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/in.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct vlan { __be16 tci; __be16 proto; };

static __always_inline int is_dns(struct iphdr *ip, void *data_end)
{
	struct udphdr *udp;

#ifdef FIXED
	if ((void *)(ip + 1) > data_end)
		return 0;
#endif
	if (ip->protocol != IPPROTO_UDP) // <-
		return 0;
	udp = (void *)(ip + 1);
	if ((void *)(udp + 1) > data_end)
		return 0;
	return udp->dest == bpf_htons(53);
}

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);
		if ((void *)(ip + 1) > data_end)
			return XDP_PASS;
		return is_dns(ip, data_end) ? XDP_DROP : XDP_PASS;
	}
	if (eth->h_proto == bpf_htons(ETH_P_8021Q)) {
		struct vlan *v = (void *)(eth + 1);
		if ((void *)(v + 1) > data_end)
			return XDP_PASS;
		return is_dns((void *)(v + 1), data_end) ? XDP_DROP : XDP_PASS; // <-
	}
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked, packet-check-too-small
