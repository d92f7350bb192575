#include "net.h"
COUNTERS(by_protocol, 256);
COUNTERS(by_verdict, 5);
static __always_inline void bump(void *map, __u32 index, __u64 by)
{
	__u64 *value = bpf_map_lookup_elem(map, &index);
	if (value)
		*value += by;
}

/* Up to two VLAN tags, then IPv4 with options or IPv6 with up to three extension headers: counted by protocol. */
static __always_inline int protocol_of(void *data, void *end, __u32 *offset)
{
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > end)
		return -1;
	__u16 proto = eth->h_proto;
	__u32 at = sizeof *eth;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (proto != bswap16(ETH_P_8021Q) && proto != bswap16(ETH_P_8021AD))
			break;
		struct vlan_tag *tag = data + at;
		if ((void *)(tag + 1) > end)
			return -1;
		proto = tag->proto;
		at += sizeof *tag;
	}
	if (proto == bswap16(ETH_P_IP)) {
		struct iphdr *ip = data + at;
		if ((void *)(ip + 1) > end)
			return -1;
		__u32 length = ip->ihl * 4;
		if (length < sizeof *ip)
			return -1;
		if (ip->frag_off & bswap16(0x1fff))
			return -2;
		*offset = at + length;
		return ip->protocol;
	}
	if (proto == bswap16(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = data + at;
		if ((void *)(ip6 + 1) > end)
			return -1;
		__u8 next = ip6->nexthdr;
		at += sizeof *ip6;
#pragma unroll
		for (int i = 0; i < 3; i++) {
			if (next != 0 && next != 43 && next != 60)
				break;
			__u8 *ext = data + at;
			if ((void *)(ext + 8) > end)
				return -1;
			next = ext[0];
			at += 8 + ext[1] * 8;
			if (at > 512)
				return -1;
		}
		*offset = at;
		return next;
	}
	return -3;
}

SEC("xdp") int xdp_count_protocols(struct xdp_md *ctx)
{
	__u32 offset = 0;
	int proto = protocol_of(START(ctx), END(ctx), &offset);
	if (proto < 0) {
		bump(&by_verdict, -proto, 1);
		return XDP_PASS;
	}
	bump(&by_protocol, proto, END(ctx) - START(ctx));
	bump(&by_verdict, 0, 1);
	return XDP_PASS;
}

SEC("xdp") int xdp_drop_telnet(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	__u32 offset = 0;
	if (protocol_of(data, end, &offset) != IPPROTO_TCP)
		return XDP_PASS;
	if (offset > 600)
		return XDP_PASS;
	struct tcphdr *tcp = data + offset;
	if ((void *)(tcp + 1) > end)
		return XDP_PASS;
	return tcp->dest == bswap16(23) || tcp->source == bswap16(23) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int xdp_ethertype(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	if ((void *)(eth + 1) > END(ctx))
		return XDP_DROP;
	switch (bswap16(eth->h_proto)) {
	case ETH_P_IP: return XDP_PASS;
	case ETH_P_IPV6: return XDP_PASS;
	case ETH_P_ARP: return XDP_PASS;
	case ETH_P_LOOPBACK: return XDP_TX;
	default: return XDP_DROP;
	}
}

/* TCP options: the maximum segment size is clamped. */
SEC("xdp") int xdp_clamp_mss(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > end || eth->h_proto != bswap16(ETH_P_IP) || ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	if (!tcp->syn || tcp->doff < 6)
		return XDP_PASS;
	__u8 *option = (void *)(tcp + 1);
	if ((void *)(option + 4) > end)
		return XDP_PASS;
	if (option[0] != 2 || option[1] != 4)
		return XDP_PASS;
	__u16 mss = option[2] << 8 | option[3];
	if (mss <= 1360)
		return XDP_PASS;
	__u16 was = bswap16(mss);
	option[2] = 1360 >> 8;
	option[3] = 1360 & 255;
	__u16 sum = tcp->check;
	csum_replace2(&sum, was, bswap16(1360));
	tcp->check = sum;
	return XDP_PASS;
}

SEC("xdp") int xdp_icmp_echo(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct icmphdr *icmp = (void *)(ip + 1);
	if ((void *)(icmp + 1) > end)
		return XDP_PASS;
	if (eth->h_proto != bswap16(ETH_P_IP) || ip->protocol != IPPROTO_ICMP || ip->ihl != 5)
		return XDP_PASS;
	if (icmp->type != ICMP_ECHO)
		return XDP_PASS;
	__u8 mac[6];
	__builtin_memcpy(mac, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, mac, 6);
	__be32 address = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = address;
	icmp->type = ICMP_ECHOREPLY;
	__u16 sum = icmp->checksum;
	csum_replace2(&sum, bswap16(ICMP_ECHO << 8), 0);
	icmp->checksum = sum;
	return XDP_TX;
}
