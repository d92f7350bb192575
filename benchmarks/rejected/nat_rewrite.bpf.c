/* Rewrites the destination of UDP and then looks at the ports once more. */
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define IP_DST_OFF (ETH_HLEN + offsetof(struct iphdr, daddr))
#define IP_CSUM_OFF (ETH_HLEN + offsetof(struct iphdr, check))

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u16);
	__type(value, __u64);
} hits SEC(".maps");

static __always_inline void rewrite(struct __sk_buff *skb, __u32 old, __u32 new)
{
	bpf_l3_csum_replace(skb, IP_CSUM_OFF, old, new, sizeof(new));
	bpf_skb_store_bytes(skb, IP_DST_OFF, &new, sizeof(new), 0);
}

SEC("tc")
int dnat(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = data + ETH_HLEN + sizeof(*ip);

	if ((void *)(udp + 1) > data_end)
		return TC_ACT_OK;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP)
		return TC_ACT_OK;
	if (ip->daddr != bpf_htonl(0x0a000001))
		return TC_ACT_OK;
#ifdef FIXED
	__u16 port = udp->dest;
#endif
	rewrite(skb, ip->daddr, bpf_htonl(0x0a000002));
#ifndef FIXED
	__u16 port = udp->dest; // <-
#endif
	__u64 one = 1, *seen = bpf_map_lookup_elem(&hits, &port);
	if (seen)
		__sync_fetch_and_add(seen, 1);
	else
		bpf_map_update_elem(&hits, &port, &one, BPF_ANY);
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: packet-stale-pointer
