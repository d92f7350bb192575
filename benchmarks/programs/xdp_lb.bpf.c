#include "net.h"
#define RING 256
#define REALS 16
struct vip {
	__be32 address;
	__be16 port;
	__u8 proto, pad;
};
struct vip_info {
	__u32 number, flags;
};
struct real {
	__be32 address;
	__u8 mac[6];
	__u16 weight;
};
struct stats {
	__u64 packets, bytes;
};
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, struct vip); __type(value, struct vip_info); __uint(max_entries, 64); } vips SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u32); __uint(max_entries, RING); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, struct real); __uint(max_entries, REALS); } reals SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __type(key, struct flow); __type(value, __u32); __uint(max_entries, 1024); } connections SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __type(key, __u32); __type(value, struct stats); __uint(max_entries, 64); } vip_stats SEC(".maps");

/* An L4 balancer: virtual address, connection table, consistent-hash ring, IPIP to the chosen server. */
SEC("xdp") int xdp_balance(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end || eth->h_proto != bswap16(ETH_P_IP))
		return XDP_PASS;
	if (ip->ihl != 5 || ip->frag_off & bswap16(0x3fff))
		return XDP_DROP;
	struct flow flow = { ip->saddr, ip->daddr, 0, 0, ip->protocol };
	int syn = 0;
	if (ip->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end)
			return XDP_DROP;
		flow.sport = tcp->source;
		flow.dport = tcp->dest;
		syn = tcp->syn && !tcp->ack;
	} else if (ip->protocol == IPPROTO_UDP) {
		struct udphdr *udp = (void *)(ip + 1);
		if ((void *)(udp + 1) > end)
			return XDP_DROP;
		flow.sport = udp->source;
		flow.dport = udp->dest;
	} else
		return XDP_PASS;
	struct vip key = { flow.daddr, flow.dport, flow.proto };
	struct vip_info *info = bpf_map_lookup_elem(&vips, &key);
	if (!info) {
		key.port = 0;
		info = bpf_map_lookup_elem(&vips, &key);
		if (!info)
			return XDP_PASS;
	}
	__u32 number = info->number;
	if (info->flags & 1)
		flow.sport = 0;
	__u32 *known = syn ? 0 : bpf_map_lookup_elem(&connections, &flow);
	__u32 chosen;
	if (known)
		chosen = *known;
	else {
		__u32 slot = hash3(flow.saddr, (__u32)flow.sport << 16 | flow.dport, flow.proto, 0) % RING;
		__u32 *server = bpf_map_lookup_elem(&ring, &slot);
		if (!server)
			return XDP_DROP;
		chosen = *server;
		bpf_map_update_elem(&connections, &flow, &chosen, BPF_ANY);
	}
	struct real *real = bpf_map_lookup_elem(&reals, &chosen);
	if (!real)
		return XDP_DROP;
	struct stats *stats = bpf_map_lookup_elem(&vip_stats, &number);
	if (stats) {
		stats->packets++;
		stats->bytes += end - data;
	}
	__u16 length = bswap16(ip->tot_len);
	__u8 tos = ip->tos;
	struct ethhdr old = *eth;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof *ip))
		return XDP_DROP;
	data = START(ctx);
	end = END(ctx);
	eth = data;
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(eth->h_source, old.h_dest, 6);
	__builtin_memcpy(eth->h_dest, real->mac, 6);
	eth->h_proto = old.h_proto;
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = tos;
	ip->tot_len = bswap16(length + sizeof *ip);
	ip->id = 0;
	ip->frag_off = 0;
	ip->ttl = 64;
	ip->protocol = IPPROTO_IPIP;
	ip->check = 0;
	ip->saddr = 0x0a00000a;
	ip->daddr = real->address;
	__u16 *words = (void *)ip;
	__u32 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	ip->check = csum_fold(sum);
	return XDP_TX;
}

/* The same choice for IPv6 by the destination alone, without a connection table. */
SEC("xdp") int xdp_pick6(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip6 + 1);
	if ((void *)(udp + 1) > END(ctx) || eth->h_proto != bswap16(ETH_P_IPV6) || ip6->nexthdr != IPPROTO_UDP)
		return XDP_PASS;
	__u32 *s = ip6->saddr.in6_u.u6_addr32, *d = ip6->daddr.in6_u.u6_addr32;
	__u32 h = hash3(s[0], s[1], s[2], s[3]);
	h = hash3(h, d[0] ^ d[1], d[2] ^ d[3], udp->source);
	__u32 slot = h & (RING - 1);
	__u32 *server = bpf_map_lookup_elem(&ring, &slot);
	if (!server)
		return XDP_ABORTED;
	struct real *real = bpf_map_lookup_elem(&reals, server);
	if (!real || !real->weight)
		return XDP_DROP;
	__builtin_memcpy(eth->h_dest, real->mac, 6);
	ip6->hop_limit--;
	return XDP_TX;
}
