#include "net.h"
struct nat {
	__be32 address;
	__be16 port;
	__u16 flags;
	__u64 seen_ns;
};
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, struct flow); __type(value, struct nat); __uint(max_entries, 4096); } translations SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __be32); __type(value, __be32); __uint(max_entries, 256); } one_to_one SEC(".maps");

/* Source NAT with checksums kept up to date. */
SEC("xdp") int xdp_snat(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end || eth->h_proto != bswap16(ETH_P_IP) || ip->ihl != 5)
		return XDP_PASS;
	__be16 *ports = (void *)(ip + 1);
	__u16 *check;
	if (ip->protocol == IPPROTO_UDP) {
		struct udphdr *udp = (void *)ports;
		if ((void *)(udp + 1) > end)
			return XDP_PASS;
		check = &udp->check;
	} else if (ip->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)ports;
		if ((void *)(tcp + 1) > end)
			return XDP_PASS;
		check = &tcp->check;
	} else
		return XDP_PASS;
	struct flow flow = { ip->saddr, ip->daddr, ports[0], ports[1], ip->protocol };
	struct nat *nat = bpf_map_lookup_elem(&translations, &flow);
	if (!nat)
		return XDP_DROP;
	nat->seen_ns = bpf_ktime_get_ns();
	__u16 sum = ip->check;
	csum_replace4(&sum, ip->saddr, nat->address);
	ip->check = sum;
	if (ip->protocol != IPPROTO_UDP || *check) {
		sum = *check;
		csum_replace4(&sum, ip->saddr, nat->address);
		csum_replace2(&sum, ports[0], nat->port);
		if (ip->protocol == IPPROTO_UDP && !sum)
			sum = 0xffff;
		*check = sum;
	}
	ip->saddr = nat->address;
	ports[0] = nat->port;
	return nat->flags & 1 ? XDP_TX : XDP_PASS;
}

/* One address for another, TTL decremented. */
SEC("xdp") int xdp_static_nat(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > END(ctx) || eth->h_proto != bswap16(ETH_P_IP))
		return XDP_PASS;
	__be32 was = ip->daddr;
	__be32 *now = bpf_map_lookup_elem(&one_to_one, &was);
	if (!now)
		return XDP_PASS;
	if (ip->ttl <= 1)
		return XDP_DROP;
	__u16 sum = ip->check;
	csum_replace4(&sum, was, *now);
	ip->daddr = *now;
	__u32 decremented = sum + bswap16(0x0100);
	ip->check = decremented + (decremented >= 0xffff);
	ip->ttl--;
	return XDP_PASS;
}
