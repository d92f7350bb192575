#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct vlan_hdr { __be16 tci, proto; };
__u64 ip_seen;

SEC("xdp")
int classify(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *pos = (void *)(long)ctx->data;
	struct ethhdr *eth = pos;

	if ((void *)(eth + 1) > data_end)
		return XDP_DROP;
	__u16 proto = eth->h_proto;
	pos = eth + 1;
	for (int i = 0; i < 2; i++) {
		struct vlan_hdr *v = pos;
		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
#ifdef FIXED
		if ((void *)(v + 1) > data_end)
			return XDP_DROP;
#endif
		proto = v->proto; // <-
		pos = v + 1;
	}
	if (proto == bpf_htons(ETH_P_IP))
		ip_seen++;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked, packet-check-too-small
