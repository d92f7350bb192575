/* Parses up to two VLAN tags; the second is read without a check. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct vlan_hdr {
	__be16 h_vlan_TCI;
	__be16 h_vlan_encapsulated_proto;
};

static __always_inline int proto_is_vlan(__u16 h_proto)
{
	return !!(h_proto == bpf_htons(ETH_P_8021Q) || h_proto == bpf_htons(ETH_P_8021AD));
}

static __always_inline int parse_ethhdr(void *data, void *data_end, __u16 *vid)
{
	struct ethhdr *eth = data;
	int hdrsize = sizeof(*eth);
	struct vlan_hdr *vlh;
	__u16 h_proto;
	int i;

	if (data + hdrsize > data_end)
		return -1;
	vlh = (void *)(eth + 1);
	h_proto = eth->h_proto;
#pragma unroll
	for (i = 0; i < 2; i++) {
		if (!proto_is_vlan(h_proto))
			break;
#ifdef FIXED
		if ((void *)(vlh + 1) > data_end)
			break;
#endif
		h_proto = vlh->h_vlan_encapsulated_proto; // <-
		*vid = bpf_ntohs(vlh->h_vlan_TCI) & 0xfff; // <-
		vlh++;
	}
	return h_proto;
}

SEC("xdp")
int vlan_id(struct xdp_md *ctx)
{
	__u16 vid = 0;
	int proto = parse_ethhdr((void *)(long)ctx->data, (void *)(long)ctx->data_end, &vid);

	if (proto < 0)
		return XDP_ABORTED;
	return vid == 100 ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked, packet-check-too-small
