/* Copies the first label of a DNS question. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct dnshdr { __u16 id, flags, qd, an, ns, ar; };
struct label { char text[32]; };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512);
	__type(key, struct label);
	__type(value, __u64);
} labels SEC(".maps");

SEC("xdp")
int dns(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct dnshdr *dns = (void *)(udp + 1);
	struct label l = {};
	__u64 one = 1;

	if ((void *)(dns + 1) > data_end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP || udp->dest != bpf_htons(53))
		return XDP_PASS;
	__u8 *q = (void *)(dns + 1);
	for (int i = 0; i < 31; i++) {
#ifdef FIXED
		if ((void *)(q + i + 2) > data_end)
			break;
#endif
		if (q[i + 1] < 32) // <-
			break;
		l.text[i] = q[i + 1]; // <-
	}
	bpf_map_update_elem(&labels, &l, &one, BPF_ANY);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked, packet-check-too-small
