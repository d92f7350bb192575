/* Long programs: hashes of tuples, rule tables walked in line, header rewriting in both families. */
#include "net.h"
struct rule { __be32 address, mask; __u16 low, high; __u8 proto, verdict, pad[2]; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, struct rule); __uint(max_entries, 16); } rules SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, struct flow); __type(value, __u64); __uint(max_entries, 1024); } flows SEC(".maps");
COUNTERS(verdicts, 8);
__u32 seed;
__u64 sketch[4][64];

static __always_inline int matches(struct rule *rule, struct flow *flow)
{
	if (rule->proto && rule->proto != flow->proto)
		return 0;
	if ((flow->saddr & rule->mask) != rule->address)
		return 0;
	__u16 port = bswap16(flow->dport);
	return port >= rule->low && port <= rule->high;
}

static __always_inline int walk(struct xdp_md *ctx, int count)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	if ((void *)(udp + 1) > end || eth->h_proto != bswap16(ETH_P_IP) || ip->ihl != 5)
		return XDP_PASS;
	struct flow flow = { ip->saddr, ip->daddr, udp->source, udp->dest, ip->protocol };
	int verdict = XDP_PASS;
#pragma unroll
	for (int i = 0; i < count; i++) {
		__u32 index = i;
		struct rule *rule = bpf_map_lookup_elem(&rules, &index);
		if (rule && matches(rule, &flow)) {
			verdict = rule->verdict & 3;
			break;
		}
	}
	__u32 slot = verdict;
	__u64 *value = bpf_map_lookup_elem(&verdicts, &slot);
	if (value)
		*value += 1;
	return verdict;
}

SEC("xdp") int rules_4(struct xdp_md *ctx) { return walk(ctx, 4); }
SEC("xdp") int rules_8(struct xdp_md *ctx) { return walk(ctx, 8); }
SEC("xdp") int rules_16(struct xdp_md *ctx) { return walk(ctx, 16); }

/* A count-min sketch of four rows. */
SEC("xdp") int count_min(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	if ((void *)(udp + 1) > end || eth->h_proto != bswap16(ETH_P_IP))
		return XDP_PASS;
	__u32 ports = (__u32)udp->source << 16 | udp->dest;
	__u64 least = ~0ULL;
#pragma unroll
	for (int row = 0; row < 4; row++) {
		__u32 slot = hash3(ip->saddr, ip->daddr, ports, seed + row) & 63;
		__u64 now = ++sketch[row][slot];
		if (now < least)
			least = now;
	}
	return least > 10000 ? XDP_DROP : XDP_PASS;
}

#define SIPROUND                                                                                                       \
	v0 += v1; v1 = v1 << 13 | v1 >> 51; v1 ^= v0; v0 = v0 << 32 | v0 >> 32;                                        \
	v2 += v3; v3 = v3 << 16 | v3 >> 48; v3 ^= v2;                                                                  \
	v0 += v3; v3 = v3 << 21 | v3 >> 43; v3 ^= v0;                                                                  \
	v2 += v1; v1 = v1 << 17 | v1 >> 47; v1 ^= v2; v2 = v2 << 32 | v2 >> 32;

/* A SYN cookie: SipHash over the addresses, put into the reply. */
SEC("xdp") int syn_cookie(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > end || eth->h_proto != bswap16(ETH_P_IP) || ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	if (!tcp->syn || tcp->ack)
		return XDP_PASS;
	__u64 k0 = seed, k1 = ~(__u64)seed;
	__u64 v0 = k0 ^ 0x736f6d6570736575, v1 = k1 ^ 0x646f72616e646f6d, v2 = k0 ^ 0x6c7967656e657261, v3 = k1 ^ 0x7465646279746573;
	__u64 m = (__u64)ip->saddr << 32 | ip->daddr;
	v3 ^= m;
	SIPROUND SIPROUND
	v0 ^= m;
	m = (__u64)tcp->source << 16 | tcp->dest;
	v3 ^= m;
	SIPROUND SIPROUND
	v0 ^= m;
	v2 ^= 0xff;
	SIPROUND SIPROUND SIPROUND SIPROUND
	__u32 cookie = v0 ^ v1 ^ v2 ^ v3;
	__u8 mac[6];
	__builtin_memcpy(mac, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, mac, 6);
	__be32 address = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = address;
	__be16 port = tcp->source;
	tcp->source = tcp->dest;
	tcp->dest = port;
	tcp->ack_seq = bswap32(bswap32(tcp->seq) + 1);
	tcp->seq = bswap32(cookie);
	tcp->ack = 1;
	tcp->window = 0;
	return XDP_TX;
}

/* Both families, tags, options, ports, a flow table, counters and a rewrite in one program. */
SEC("xdp") int everything(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	__be16 proto = eth->h_proto;
	void *at = eth + 1;
	__u16 tag = 0;
	if (proto == bswap16(ETH_P_8021Q)) {
		struct vlan_tag *vlan = at;
		if ((void *)(vlan + 1) > end)
			return XDP_DROP;
		tag = bswap16(vlan->tci) & 0xfff;
		proto = vlan->proto;
		at = vlan + 1;
	}
	struct flow flow = {};
	__u8 *hops;
	if (proto == bswap16(ETH_P_IP)) {
		struct iphdr *ip = at;
		if ((void *)(ip + 1) > end || ip->ihl < 5)
			return XDP_DROP;
		flow.saddr = ip->saddr;
		flow.daddr = ip->daddr;
		flow.proto = ip->protocol;
		hops = &ip->ttl;
		at += ip->ihl * 4;
	} else if (proto == bswap16(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = at;
		if ((void *)(ip6 + 1) > end)
			return XDP_DROP;
		__u32 *s = ip6->saddr.in6_u.u6_addr32, *d = ip6->daddr.in6_u.u6_addr32;
		flow.saddr = hash3(s[0], s[1], s[2], s[3]);
		flow.daddr = hash3(d[0], d[1], d[2], d[3]);
		flow.proto = ip6->nexthdr;
		hops = &ip6->hop_limit;
		at = ip6 + 1;
	} else
		return XDP_PASS;
	int fin = 0;
	if (flow.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = at;
		if ((void *)(tcp + 1) > end)
			return XDP_DROP;
		flow.sport = tcp->source;
		flow.dport = tcp->dest;
		fin = tcp->fin || tcp->rst;
	} else if (flow.proto == IPPROTO_UDP) {
		struct udphdr *udp = at;
		if ((void *)(udp + 1) > end)
			return XDP_DROP;
		flow.sport = udp->source;
		flow.dport = udp->dest;
	} else if (flow.proto == IPPROTO_ICMP) {
		struct icmphdr *icmp = at;
		if ((void *)(icmp + 1) > end)
			return XDP_DROP;
		flow.sport = icmp->type << 8 | icmp->code;
	} else
		return XDP_PASS;
	if (tag == 666)
		return XDP_DROP;
	__u64 *packets = bpf_map_lookup_elem(&flows, &flow);
	if (packets) {
		__sync_fetch_and_add(packets, 1);
		if (fin)
			bpf_map_delete_elem(&flows, &flow);
	} else if (!fin) {
		__u64 one = 1;
		bpf_map_update_elem(&flows, &flow, &one, BPF_ANY);
	}
	if (*hops <= 1)
		return XDP_DROP;
	*hops -= 1;
	__u32 slot = 4 + (flow.proto == IPPROTO_TCP);
	__u64 *value = bpf_map_lookup_elem(&verdicts, &slot);
	if (value)
		*value += 1;
	return tag ? XDP_TX : XDP_PASS;
}
