/* A layer-4 load balancer as they are deployed: virtual addresses, consistent hashing, connection tables per CPU, health by
 * real server, IP-in-IP encapsulation for both families, ICMP errors that follow their connection. */
#include "net.h"

#define RING 1021
#define REALS 512
#define F_NO_LRU 1
#define F_HASH_SRC_ONLY 2
#define F_NO_PORT 4

struct vip { __u32 address[4]; __u16 port; __u8 protocol; __u8 pad; };
struct vip_info { __u32 flags; __u32 number; };
struct connection { __u32 src[4], dst[4]; __u16 ports[2]; __u8 protocol; __u8 pad[3]; };
struct remembered { __u32 real; __u32 pad; __u64 seen_ns; };
struct real { __u32 address[4]; __u8 is_ipv6; __u8 pad[3]; };
struct counts { __u64 packets, bytes; };
struct packet { struct connection flow; __u32 ring_hash; __u8 tos, syn, rst, icmp_error; __u16 length; __u16 l4_offset; };

struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, struct vip); __type(value, struct vip_info); __uint(max_entries, 512); } vips SEC(".maps");
struct table { __uint(type, BPF_MAP_TYPE_LRU_HASH); __type(key, struct connection); __type(value, struct remembered); __uint(max_entries, 1000); } spare SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(key_size, 4); __uint(max_entries, 8); __array(values, struct table); } tables SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u32); __uint(max_entries, RING * 32); } rings SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, struct real); __uint(max_entries, REALS); } reals SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __type(key, __u32); __type(value, struct counts); __uint(max_entries, REALS); } real_counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __type(key, __u32); __type(value, struct counts); __uint(max_entries, 1024); } vip_counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u8[8]); __uint(max_entries, 4); } macs SEC(".maps");

static __always_inline __u32 rol(__u32 x, int n) { return x << n | x >> (32 - n); }

static __always_inline __u32 hash2(__u32 a, __u32 b, __u32 seed)
{
	__u32 c = seed;
	a += 0xdeadbeef + seed; b += 0xdeadbeef + seed;
	c ^= b; c -= rol(b, 14); a ^= c; a -= rol(c, 11); b ^= a; b -= rol(a, 25);
	c ^= b; c -= rol(b, 16); a ^= c; a -= rol(c, 4); b ^= a; b -= rol(a, 14); c ^= b; c -= rol(b, 24);
	return c;
}

static __always_inline __u32 ring_hash(struct packet *pkt, int is_ipv6, __u32 flags)
{
	__u32 ports = flags & F_HASH_SRC_ONLY ? 0 : (__u32)pkt->flow.ports[1] << 16 | pkt->flow.ports[0];
	__u32 who = pkt->flow.src[0];
	if (is_ipv6)
		who = hash2(pkt->flow.src[0] ^ pkt->flow.src[2], pkt->flow.src[1] ^ pkt->flow.src[3], 0x1234);
	return hash2(who, ports, 0xface) % RING;
}

static __always_inline void count(void *map, __u32 key, __u32 bytes)
{
	struct counts *counts = bpf_map_lookup_elem(map, &key);
	if (counts) {
		counts->packets += 1;
		counts->bytes += bytes;
	}
}

static __always_inline int parse_l4(void *l4, void *end, struct packet *pkt)
{
	if (pkt->flow.protocol == IPPROTO_UDP) {
		struct udphdr *udp = l4;
		if ((void *)(udp + 1) > end)
			return -1;
		pkt->flow.ports[0] = pkt->icmp_error ? udp->dest : udp->source;
		pkt->flow.ports[1] = pkt->icmp_error ? udp->source : udp->dest;
		return 0;
	}
	if (pkt->flow.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;
		if ((void *)(tcp + 1) > end)
			return -1;
		pkt->syn = tcp->syn;
		pkt->rst = tcp->rst;
		pkt->flow.ports[0] = pkt->icmp_error ? tcp->dest : tcp->source;
		pkt->flow.ports[1] = pkt->icmp_error ? tcp->source : tcp->dest;
		return 0;
	}
	return -1;
}

static __always_inline int parse_ipv4(void *data, void *end, struct packet *pkt)
{
	struct iphdr *ip = data;
	if ((void *)(ip + 1) > end || ip->ihl != 5)
		return -1;
	if (ip->frag_off & bswap16(0x3fff))
		return -1;
	pkt->tos = ip->tos;
	pkt->length = bswap16(ip->tot_len);
	pkt->flow.protocol = ip->protocol;
	pkt->flow.src[0] = ip->saddr;
	pkt->flow.dst[0] = ip->daddr;
	void *l4 = ip + 1;
	if (ip->protocol == IPPROTO_ICMP) {
		__u8 *icmp = l4;
		struct iphdr *inner = l4 + 8;
		if ((void *)(inner + 1) > end || icmp[0] != 3 || inner->ihl != 5)
			return -1;
		pkt->icmp_error = 1;
		pkt->flow.protocol = inner->protocol;
		pkt->flow.src[0] = inner->daddr;
		pkt->flow.dst[0] = inner->saddr;
		l4 = inner + 1;
	}
	return parse_l4(l4, end, pkt);
}

static __always_inline int parse_ipv6(void *data, void *end, struct packet *pkt)
{
	struct ipv6hdr *ip = data;
	if ((void *)(ip + 1) > end)
		return -1;
	pkt->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	pkt->length = bswap16(ip->payload_len) + sizeof(*ip);
	pkt->flow.protocol = ip->nexthdr;
	__builtin_memcpy(pkt->flow.src, &ip->saddr, 16);
	__builtin_memcpy(pkt->flow.dst, &ip->daddr, 16);
	void *l4 = ip + 1;
	if (ip->nexthdr == 58) {
		__u8 *icmp = l4;
		struct ipv6hdr *inner = l4 + 8;
		if ((void *)(inner + 1) > end || icmp[0] > 4)
			return -1;
		pkt->icmp_error = 1;
		pkt->flow.protocol = inner->nexthdr;
		__builtin_memcpy(pkt->flow.src, &inner->daddr, 16);
		__builtin_memcpy(pkt->flow.dst, &inner->saddr, 16);
		l4 = inner + 1;
	}
	return parse_l4(l4, end, pkt);
}

static __always_inline struct real *pick(struct packet *pkt, struct vip_info *vip, int is_ipv6, __u32 *number)
{
	__u32 cpu = bpf_get_smp_processor_id();
	void *table = bpf_map_lookup_elem(&tables, &cpu);
	if (!table)
		table = &spare;
	__u64 now = bpf_ktime_get_ns();
	if (!(vip->flags & F_NO_LRU) && !pkt->syn) {
		struct remembered *known = bpf_map_lookup_elem(table, &pkt->flow);
		if (known && (pkt->flow.protocol != IPPROTO_UDP || now - known->seen_ns < 30000000000ULL)) {
			known->seen_ns = now;
			*number = known->real;
			return bpf_map_lookup_elem(&reals, number);
		}
	}
	__u32 slot = RING * (vip->number & 31) + ring_hash(pkt, is_ipv6, vip->flags);
	__u32 *chosen = bpf_map_lookup_elem(&rings, &slot);
	if (!chosen || !*chosen)
		return 0;
	*number = *chosen;
	if (!(vip->flags & F_NO_LRU) && !pkt->rst) {
		struct remembered fresh = { *number, 0, now };
		bpf_map_update_elem(table, &pkt->flow, &fresh, BPF_ANY);
	}
	return bpf_map_lookup_elem(&reals, number);
}

static __always_inline int write_ethernet(void *data, __u16 type)
{
	struct ethhdr *eth = data;
	__u32 key = 0;
	__u8 *gateway = bpf_map_lookup_elem(&macs, &key);
	if (!gateway)
		return -1;
	__u8 old[6];
	__builtin_memcpy(old, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, gateway, 6);
	__builtin_memcpy(eth->h_source, old, 6);
	eth->h_proto = bswap16(type);
	return 0;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int encap_ipv4(struct xdp_md *ctx, struct packet *pkt, struct real *real, __u16 bytes)
{
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct iphdr)))
		return XDP_DROP;
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data, *old = data + sizeof(struct iphdr);
	struct iphdr *ip = data + sizeof(*eth);
	if ((void *)(ip + 1) > end || (void *)(old + 1) > end)
		return XDP_DROP;
	__builtin_memmove(eth->h_dest, old->h_dest, 6);
	if (write_ethernet(data, ETH_P_IP))
		return XDP_DROP;
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = pkt->tos;
	ip->tot_len = bswap16(bytes + sizeof(*ip));
	ip->id = 0;
	ip->frag_off = 0;
	ip->ttl = 64;
	ip->protocol = 4;
	ip->check = 0;
	ip->saddr = 0x0a00 | (pkt->flow.src[0] ^ pkt->flow.ports[0]) << 16;
	ip->daddr = real->address[0];
	__u16 *words = (void *)ip;
	__u64 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	ip->check = fold(sum);
	return XDP_TX;
}

static __always_inline int encap_ipv6(struct xdp_md *ctx, struct packet *pkt, struct real *real, __u16 bytes, __u8 next)
{
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct ipv6hdr)))
		return XDP_DROP;
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data, *old = data + sizeof(struct ipv6hdr);
	struct ipv6hdr *ip = data + sizeof(*eth);
	if ((void *)(ip + 1) > end || (void *)(old + 1) > end)
		return XDP_DROP;
	__builtin_memmove(eth->h_dest, old->h_dest, 6);
	if (write_ethernet(data, ETH_P_IPV6))
		return XDP_DROP;
	ip->version = 6;
	ip->priority = pkt->tos >> 4;
	ip->flow_lbl[0] = pkt->tos << 4;
	ip->flow_lbl[1] = 0;
	ip->flow_lbl[2] = 0;
	ip->payload_len = bswap16(bytes);
	ip->nexthdr = next;
	ip->hop_limit = 64;
	__u32 source[4] = { 0x64, pkt->flow.src[0], pkt->flow.src[3], pkt->flow.ports[0] };
	__builtin_memcpy(&ip->saddr, source, 16);
	__builtin_memcpy(&ip->daddr, real->address, 16);
	return XDP_TX;
}

static __always_inline int balance(struct xdp_md *ctx, void *l3, void *end, int is_ipv6)
{
	struct packet pkt = {};
	if (is_ipv6 ? parse_ipv6(l3, end, &pkt) : parse_ipv4(l3, end, &pkt))
		return XDP_PASS;
	struct vip vip = {};
	__builtin_memcpy(vip.address, pkt.flow.dst, 16);
	vip.port = pkt.flow.ports[1];
	vip.protocol = pkt.flow.protocol;
	struct vip_info *info = bpf_map_lookup_elem(&vips, &vip);
	if (!info) {
		vip.port = 0;
		info = bpf_map_lookup_elem(&vips, &vip);
		if (!info)
			return XDP_PASS;
		if (!(info->flags & F_NO_PORT))
			pkt.flow.ports[1] = 0;
	}
	__u32 number = 0;
	struct real *real = pick(&pkt, info, is_ipv6, &number);
	if (!real) {
		count(&vip_counts, 1023, pkt.length);
		return XDP_DROP;
	}
	count(&vip_counts, info->number & 511, pkt.length);
	count(&real_counts, number, pkt.length);
	if (real->is_ipv6)
		return encap_ipv6(ctx, &pkt, real, pkt.length, is_ipv6 ? 41 : 4);
	return is_ipv6 ? XDP_DROP : encap_ipv4(ctx, &pkt, real, pkt.length);
}

SEC("xdp") int balancer(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (eth->h_proto == bswap16(ETH_P_IP))
		return balance(ctx, eth + 1, end, 0);
	if (eth->h_proto == bswap16(ETH_P_IPV6))
		return balance(ctx, eth + 1, end, 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
