/* A layer-4 load balancer with everything that large sites run: the public design of XDP balancers in the size they have there.
 *
 * Virtual addresses with flags, a consistent-hash ring, connection tables per CPU with a spare one, a table that all CPUs share, a
 * limit on new connections per second, stateless UDP, QUIC connection ids, routing by source, answers to pings, ICMP errors that
 * follow their connection, and IP-in-IP for both families. Sites add to that: server ids in TCP options, "too big" messages,
 * decapsulation, GUE (-DWITH_TCP_OPTION, -DWITH_TOO_BIG, -DWITH_DECAP, -DWITH_GUE: 3,700 insns). */
#include <stdbool.h>
#define INLINE_ALL
#include "net.h"

#define RING 65537
#define REALS 4096
#define VIPS 512
#define CPUS 64
#define CTL_MAC 0
#define LRU_TIMEOUT_NS 30000000000ULL
#define SECOND_NS 1000000000ULL
#define MAX_NEW_PER_SECOND 125000
#define MAX_FRAME 1514
#define ICMP_BYTES_KEPT 98
#define ICMP6_BYTES_KEPT 262
#define TTL 64
#define GUE_PORT 6080
#define TPR_KIND 0xb7
#define TPR_LENGTH 6
#define TCP_OPTIONS_READ 15
#define FURTHER_PROCESSING (-1)

/* of virtual addresses */
#define F_HASH_NO_SRC_PORT (1 << 0)
#define F_LRU_BYPASS (1 << 1)
#define F_QUIC (1 << 2)
#define F_HASH_DPORT_ONLY (1 << 3)
#define F_SRC_ROUTING (1 << 4)
#define F_LOCAL (1 << 5)
#define F_SHARED_LRU (1 << 6)
#define F_UDP_STATELESS (1 << 7)
#define F_HASH_SRC_DST (1 << 8)
/* of real servers */
#define R_IPV6 (1 << 0)
#define R_GUE (1 << 1)
#define R_LOCAL (1 << 2)
/* of packets */
#define P_ICMP (1 << 0)
#define P_SYN (1 << 1)
#define P_RST (1 << 2)

enum stat {
	S_LRU, S_LRU_MISS, S_ICMP_TOO_BIG, S_ICMP_SENT, S_LPM, S_REMOTE, S_DECAP, S_QUIC_CID, S_QUIC_CID_LOST, S_TPR, S_TPR_LOST,
	S_SHARED_LRU, S_NO_TABLE, S_NEW_CONNECTION, S_OVER_RATE, S_NO_REAL, S_UDP_EXPIRED, S_ENCAP_FAILED, S_MIGRATED,
};

struct flow_key {
	union { __be32 src; __be32 srcv6[4]; };
	union { __be32 dst; __be32 dstv6[4]; };
	union { __u32 ports; __be16 port16[2]; };
	__u8 proto;
	__u8 pad[3];
};
struct description { struct flow_key flow; __u32 real_index; __u8 flags; __u8 tos; __u16 l4_bytes; };
struct vip_key { union { __be32 vip; __be32 vipv6[4]; }; __be16 port; __u8 proto; __u8 pad; };
struct vip_meta { __u32 flags; __u32 number; };
struct real_pos { __u32 pos; __u32 pad; __u64 seen_ns; };
struct real { union { __be32 dst; __be32 dstv6[4]; }; __u8 flags; __u8 pad[3]; };
struct counts { __u64 v1, v2; };
struct control { union { __u64 value; __u32 ifindex; __u8 mac[6]; }; };
struct source4 { __u32 prefixlen; __be32 addr; };
struct source6 { __u32 prefixlen; __be32 addr[4]; };
struct address { union { __be32 addr; __be32 addrv6[4]; }; };
struct quic_long { __u8 flags; __u32 version; __u8 dst_length; __u8 dst_id[8]; } __attribute__((packed));
struct quic_short { __u8 flags; __u8 dst_id[8]; } __attribute__((packed));
struct gue { __u8 first, protocol; __be16 flags; };

#define MAP(name, kind, k, v, n) \
	struct { __uint(type, BPF_MAP_TYPE_##kind); __type(key, k); __type(value, v); __uint(max_entries, n); } name SEC(".maps")

struct lru { __uint(type, BPF_MAP_TYPE_LRU_HASH); __type(key, struct flow_key); __type(value, struct real_pos); __uint(max_entries, 1000); };
struct lru fallback_cache SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(key_size, 4); __uint(max_entries, CPUS); __array(values, struct lru); } lru_mapping SEC(".maps");
MAP(shared_lru, LRU_HASH, struct flow_key, __u32, 1000);
MAP(vip_map, HASH, struct vip_key, struct vip_meta, VIPS);
MAP(ch_rings, ARRAY, __u32, __u32, VIPS * RING);
MAP(reals, ARRAY, __u32, struct real, REALS);
MAP(reals_stats, PERCPU_ARRAY, __u32, struct counts, REALS);
MAP(vip_stats, PERCPU_ARRAY, __u32, struct counts, VIPS);
MAP(stats, PERCPU_ARRAY, __u32, struct counts, 32);
MAP(quic_stats, PERCPU_ARRAY, __u32, struct counts, 2);
MAP(lru_miss_stats, PERCPU_ARRAY, __u32, __u32, REALS);
MAP(new_connections, PERCPU_ARRAY, __u32, struct counts, 1);
MAP(server_ids, ARRAY, __u32, __u32, 1 << 16);
MAP(controls, ARRAY, __u32, struct control, 16);
MAP(encap_sources, ARRAY, __u32, struct real, 2);
MAP(decap_dst, HASH, struct address, __u32, 64);
MAP(down_flows, HASH, struct vip_key, __u32, 64);
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __type(key, struct source4); __type(value, __u32); __uint(max_entries, 1000); __uint(map_flags, BPF_F_NO_PREALLOC); } lpm_src_v4 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __type(key, struct source6); __type(value, __u32); __uint(max_entries, 1000); __uint(map_flags, BPF_F_NO_PREALLOC); } lpm_src_v6 SEC(".maps");

/* --- hashing (Jenkins, lookup3) --- */
#define mix(a, b, c) \
	do { \
		a -= c; a ^= ROTL(c, 4); c += b; b -= a; b ^= ROTL(a, 6); a += c; c -= b; c ^= ROTL(b, 8); b += a; \
		a -= c; a ^= ROTL(c, 16); c += b; b -= a; b ^= ROTL(a, 19); a += c; c -= b; c ^= ROTL(b, 4); b += a; \
	} while (0)

static __always_inline __u32 jhash_2words(__u32 a, __u32 b, __u32 seed)
{
	__u32 start = 0xdeadbeef + (2 << 2) + seed;
	return mix3(a + start, b + start, start);
}

static __always_inline __u32 jhash_4words(const __u32 *words, __u32 seed)
{
	__u32 a, b, c;
	a = b = c = 0xdeadbeef + 16 + seed;
	a += words[0];
	b += words[1];
	c += words[2];
	mix(a, b, c);
	a += words[3];
	return mix3(a, b, c);
}

static __always_inline __u32 packet_hash(struct description *pckt, bool is_ipv6, bool with_dst)
{
	__u32 ports = pckt->flow.ports;
	if (with_dst)
		ports ^= is_ipv6 ? jhash_4words((__u32 *)pckt->flow.dstv6, VIPS) : pckt->flow.dst;
	if (is_ipv6)
		return jhash_2words(jhash_4words((__u32 *)pckt->flow.srcv6, REALS), ports, CPUS);
	return jhash_2words(pckt->flow.src, ports, CPUS);
}

/* --- statistics --- */
static __always_inline void bump(void *map, __u32 key, __u32 first, __u32 second)
{
	struct counts *found = bpf_map_lookup_elem(map, &key);
	if (!found)
		return;
	found->v1 += first;
	found->v2 += second;
}

/* --- checksums --- */
static __always_inline __u16 fold_helper(__u64 sum)
{
#pragma unroll
	for (int i = 0; i < 4; i++)
		if (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u16 ipv4_checksum(struct iphdr *ip)
{
	__u16 *words = (__u16 *)ip;
	__u64 sum = 0;
	ip->check = 0;
#pragma unroll
	for (int i = 0; i < (int)sizeof(*ip) >> 1; i++)
		sum += words[i];
	return fold_helper(sum);
}

static __always_inline __u16 transport_checksum6(struct ipv6hdr *ip, void *from, __u32 bytes, __u8 protocol)
{
	__u32 pseudo[2] = { bswap32(bytes), bswap32((__u32)protocol) };
	__u64 sum = bpf_csum_diff(0, 0, (__be32 *)&ip->saddr, 32, 0);
	sum = bpf_csum_diff(0, 0, pseudo, 8, sum);
	sum = bpf_csum_diff(0, 0, from, bytes, sum);
	return fold_helper(sum);
}

/* --- layer 4 --- */
static __always_inline bool parse_udp(void *data, void *end, __u64 at, struct description *pckt)
{
	struct udphdr *udp = data + at;
	if ((void *)(udp + 1) > end)
		return false;
	if (pckt->flags & P_ICMP) {
		pckt->flow.port16[0] = udp->dest;
		pckt->flow.port16[1] = udp->source;
	} else {
		pckt->flow.port16[0] = udp->source;
		pckt->flow.port16[1] = udp->dest;
	}
	return true;
}

static __always_inline bool parse_tcp(void *data, void *end, __u64 at, struct description *pckt)
{
	struct tcphdr *tcp = data + at;
	if ((void *)(tcp + 1) > end)
		return false;
	if (tcp->syn)
		pckt->flags |= P_SYN;
	if (tcp->rst)
		pckt->flags |= P_RST;
	if (pckt->flags & P_ICMP) {
		pckt->flow.port16[0] = tcp->dest;
		pckt->flow.port16[1] = tcp->source;
	} else {
		pckt->flow.port16[0] = tcp->source;
		pckt->flow.port16[1] = tcp->dest;
	}
	return true;
}

/* The server that a QUIC connection id names, as its first bytes say; 0: none. */
static __always_inline __u32 quic_server(void *data, void *end, __u64 at)
{
	__u8 *first = data + at + sizeof(struct udphdr);
	__u8 *id;
	if ((void *)(first + 1) > end)
		return 0;
	if (*first & 0x80) {
		struct quic_long *header = (void *)first;
		if ((void *)(header + 1) > end)
			return 0;
		/* an initial packet or 0-RTT: the client chose the id */
		if ((*first & 0x30) < 0x20 || header->dst_length < sizeof(header->dst_id))
			return 0;
		id = header->dst_id;
	} else {
		struct quic_short *header = (void *)first;
		if ((void *)(header + 1) > end)
			return 0;
		id = header->dst_id;
	}
	switch (id[0] >> 6) {
	case 1:
		return (id[0] & 0x3f) << 10 | id[1] << 2 | id[2] >> 6;
	case 2:
		return id[1] << 16 | id[2] << 8 | id[3];
	default:
		return 0;
	}
}

/* The server id in a TCP option; 0: none. */
static __always_inline __u32 tcp_server(void *data, void *end, __u64 at)
{
	struct tcphdr *tcp = data + at;
	if ((void *)(tcp + 1) > end)
		return 0;
	__u32 left = tcp->doff * 4 - sizeof(*tcp);
	__u8 *option = (__u8 *)(tcp + 1);
	if (left < TPR_LENGTH || left > 40)
		return 0;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		if ((void *)(option + TPR_LENGTH) > end)
			return 0;
		__u8 kind = option[0], length = option[1];
		if (kind == 0)
			return 0;
		if (kind == 1) {
			length = 1;
		} else if (kind == TPR_KIND && length == TPR_LENGTH) {
			return option[2] | option[3] << 8 | option[4] << 16 | (__u32)option[5] << 24;
		} else if (length < 2 || length > 40) {
			return 0;
		}
		if (left < length + TPR_LENGTH)
			return 0;
		left -= length;
		option += length;
	}
	return 0;
}

/* --- ICMP --- */
static __always_inline int swap_mac_and_send(void *data)
{
	struct ethhdr *eth = data;
	__u8 old[ETH_ALEN];
	__builtin_memcpy(old, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, old, ETH_ALEN);
	return XDP_TX;
}

static __always_inline int answer_ping4(void *data, void *end)
{
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct icmphdr *icmp = (void *)(ip + 1);
	if ((void *)(icmp + 1) > end)
		return XDP_DROP;
	if (icmp->type != ICMP_ECHO)
		return XDP_PASS;
	icmp->type = ICMP_ECHOREPLY;
	csum_replace2(&icmp->checksum, ICMP_ECHO, ICMP_ECHOREPLY);
	__be32 old = ip->daddr;
	ip->ttl = TTL;
	ip->daddr = ip->saddr;
	ip->saddr = old;
	ip->check = ipv4_checksum(ip);
	return swap_mac_and_send(data);
}

static __always_inline int answer_ping6(void *data, void *end)
{
	struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	struct icmp6hdr *icmp = (void *)(ip + 1);
	if ((void *)(icmp + 1) > end)
		return XDP_DROP;
	if (icmp->icmp6_type != ICMPV6_ECHO_REQUEST)
		return XDP_PASS;
	icmp->icmp6_type = ICMPV6_ECHO_REPLY;
	csum_replace2(&icmp->icmp6_cksum, ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY);
	struct in6_addr old = ip->daddr;
	ip->hop_limit = TTL;
	ip->daddr = ip->saddr;
	ip->saddr = old;
	return swap_mac_and_send(data);
}

static __always_inline int send_too_big4(struct xdp_md *ctx, int bytes)
{
	int headroom = sizeof(struct iphdr) + sizeof(struct icmphdr);
	if (bpf_xdp_adjust_tail(ctx, -(bytes - ICMP_BYTES_KEPT)))
		return XDP_DROP;
	if (bpf_xdp_adjust_head(ctx, -headroom))
		return XDP_DROP;
	void *data = START(ctx), *end = END(ctx);
	if (data + ICMP_BYTES_KEPT + sizeof(struct iphdr) + sizeof(struct icmphdr) > end)
		return XDP_DROP;
	struct ethhdr *eth = data, *old = data + sizeof(struct iphdr) + sizeof(struct icmphdr);
	struct iphdr *ip = data + sizeof(*eth), *inner = (void *)(old + 1);
	struct icmphdr *icmp = (void *)(ip + 1);
	__builtin_memcpy(eth->h_source, old->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, old->h_source, ETH_ALEN);
	eth->h_proto = bswap16(ETH_P_IP);
	icmp->type = ICMP_DEST_UNREACH;
	icmp->code = ICMP_FRAG_NEEDED;
	icmp->un.gateway = 0;
	icmp->un.frag.mtu = bswap16(MAX_FRAME - (int)sizeof(struct ethhdr));
	icmp->checksum = 0;
	icmp->checksum = fold_helper(bpf_csum_diff(0, 0, (void *)icmp, ICMP_BYTES_KEPT - (int)sizeof(struct ethhdr) + (int)sizeof(*icmp) - 0, 0));
	ip->ttl = TTL;
	ip->daddr = inner->saddr;
	ip->saddr = inner->daddr;
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->id = 0;
	ip->frag_off = 0;
	ip->tot_len = bswap16(ICMP_BYTES_KEPT + headroom - (int)sizeof(struct ethhdr));
	ip->protocol = IPPROTO_ICMP;
	ip->check = ipv4_checksum(ip);
	bump(&stats, S_ICMP_SENT, 1, 0);
	return XDP_TX;
}

static __always_inline int send_too_big6(struct xdp_md *ctx, int bytes)
{
	int headroom = sizeof(struct ipv6hdr) + sizeof(struct icmp6hdr);
	if (bpf_xdp_adjust_tail(ctx, -(bytes - ICMP6_BYTES_KEPT)))
		return XDP_DROP;
	if (bpf_xdp_adjust_head(ctx, -headroom))
		return XDP_DROP;
	void *data = START(ctx), *end = END(ctx);
	if (data + ICMP6_BYTES_KEPT + sizeof(struct ipv6hdr) + sizeof(struct icmp6hdr) > end)
		return XDP_DROP;
	struct ethhdr *eth = data, *old = data + sizeof(struct ipv6hdr) + sizeof(struct icmp6hdr);
	struct ipv6hdr *ip = data + sizeof(*eth), *inner = (void *)(old + 1);
	struct icmp6hdr *icmp = (void *)(ip + 1);
	__builtin_memcpy(eth->h_source, old->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, old->h_source, ETH_ALEN);
	eth->h_proto = bswap16(ETH_P_IPV6);
	ip->version = 6;
	ip->priority = 0;
	ip->flow_lbl[0] = ip->flow_lbl[1] = ip->flow_lbl[2] = 0;
	ip->nexthdr = IPPROTO_ICMPV6;
	ip->hop_limit = TTL;
	ip->saddr = inner->daddr;
	ip->daddr = inner->saddr;
	ip->payload_len = bswap16(ICMP6_BYTES_KEPT - (int)sizeof(struct ethhdr) + (int)sizeof(*icmp));
	icmp->icmp6_type = ICMPV6_PKT_TOOBIG;
	icmp->icmp6_code = 0;
	icmp->icmp6_mtu = bswap32(MAX_FRAME - (int)sizeof(struct ethhdr));
	icmp->icmp6_cksum = 0;
	icmp->icmp6_cksum = transport_checksum6(ip, icmp, ICMP6_BYTES_KEPT - sizeof(struct ethhdr) + sizeof(*icmp), IPPROTO_ICMPV6);
	bump(&stats, S_ICMP_SENT, 1, 0);
	return XDP_TX;
}

/* An ICMP error is routed as the connection of the packet inside it. */
static __always_inline int parse_icmp4(void *data, void *end, __u64 *at, struct description *pckt)
{
	struct icmphdr *icmp = data + *at;
	if ((void *)(icmp + 1) > end)
		return XDP_DROP;
	if (icmp->type == ICMP_ECHO)
		return answer_ping4(data, end);
	if (icmp->type != ICMP_DEST_UNREACH)
		return XDP_PASS;
	if (icmp->code == ICMP_FRAG_NEEDED)
		bump(&stats, S_ICMP_TOO_BIG, 1, bswap16(icmp->un.frag.mtu));
	*at += sizeof(*icmp);
	struct iphdr *inner = data + *at;
	if ((void *)(inner + 1) > end)
		return XDP_DROP;
	if (inner->ihl != 5)
		return XDP_DROP;
	pckt->flow.proto = inner->protocol;
	pckt->flags |= P_ICMP;
	pckt->flow.src = inner->daddr;
	pckt->flow.dst = inner->saddr;
	*at += sizeof(*inner);
	return FURTHER_PROCESSING;
}

static __always_inline int parse_icmp6(void *data, void *end, __u64 *at, struct description *pckt)
{
	struct icmp6hdr *icmp = data + *at;
	if ((void *)(icmp + 1) > end)
		return XDP_DROP;
	if (icmp->icmp6_type == ICMPV6_ECHO_REQUEST)
		return answer_ping6(data, end);
	if (icmp->icmp6_type != ICMPV6_PKT_TOOBIG && icmp->icmp6_type != ICMPV6_DEST_UNREACH)
		return XDP_PASS;
	if (icmp->icmp6_type == ICMPV6_PKT_TOOBIG)
		bump(&stats, S_ICMP_TOO_BIG, 1, bswap32(icmp->icmp6_mtu));
	*at += sizeof(*icmp);
	struct ipv6hdr *inner = data + *at;
	if ((void *)(inner + 1) > end)
		return XDP_DROP;
	pckt->flow.proto = inner->nexthdr;
	pckt->flags |= P_ICMP;
	__builtin_memcpy(pckt->flow.srcv6, &inner->daddr, 16);
	__builtin_memcpy(pckt->flow.dstv6, &inner->saddr, 16);
	*at += sizeof(*inner);
	return FURTHER_PROCESSING;
}

/* --- layer 3 --- */
static __always_inline int parse_l3(struct description *pckt, __u8 *protocol, __u64 *at, __u16 *bytes, void *data, void *end, bool is_ipv6)
{
	if (is_ipv6) {
		struct ipv6hdr *ip = data + *at;
		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		*at += sizeof(*ip);
		*protocol = ip->nexthdr;
		pckt->flow.proto = *protocol;
		pckt->tos = ip->priority << 4 | (ip->flow_lbl[0] & 0xf0) >> 4;
		*bytes = bswap16(ip->payload_len);
		if (*protocol == 44)
			return XDP_DROP;
		if (*protocol == IPPROTO_ICMPV6)
			return parse_icmp6(data, end, at, pckt);
		__builtin_memcpy(pckt->flow.srcv6, &ip->saddr, 16);
		__builtin_memcpy(pckt->flow.dstv6, &ip->daddr, 16);
		return FURTHER_PROCESSING;
	}
	struct iphdr *ip = data + *at;
	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	if (ip->ihl != 5)
		return XDP_DROP;
	pckt->tos = ip->tos;
	*protocol = ip->protocol;
	pckt->flow.proto = *protocol;
	*bytes = bswap16(ip->tot_len);
	*at += sizeof(*ip);
	if (ip->frag_off & bswap16(0x3fff))
		return XDP_DROP;
	if (*protocol == IPPROTO_ICMP)
		return parse_icmp4(data, end, at, pckt);
	pckt->flow.src = ip->saddr;
	pckt->flow.dst = ip->daddr;
	return FURTHER_PROCESSING;
}

/* --- encapsulation --- */
static __always_inline void write_ethernet(struct ethhdr *new, struct ethhdr *old, struct control *cval, __u16 type)
{
	__builtin_memcpy(new->h_source, old->h_dest, ETH_ALEN);
	__builtin_memcpy(new->h_dest, cval->mac, ETH_ALEN);
	new->h_proto = bswap16(type);
}

static __always_inline void write_ip4(struct iphdr *ip, __u8 tos, __be32 from, __be32 to, __u16 bytes, __u8 protocol)
{
	ip->version = 4;
	ip->ihl = 5;
	ip->frag_off = 0;
	ip->protocol = protocol;
	ip->check = 0;
	ip->tos = tos;
	ip->tot_len = bswap16(bytes + sizeof(*ip));
	ip->daddr = to;
	ip->saddr = from;
	ip->id = 0;
	ip->ttl = TTL;
	ip->check = ipv4_checksum(ip);
}

static __always_inline void write_ip6(struct ipv6hdr *ip, __u8 tos, const __be32 *from, const __be32 *to, __u16 bytes, __u8 protocol)
{
	ip->version = 6;
	ip->priority = tos >> 4;
	ip->flow_lbl[0] = tos << 4;
	ip->flow_lbl[1] = ip->flow_lbl[2] = 0;
	ip->nexthdr = protocol;
	ip->payload_len = bswap16(bytes);
	ip->hop_limit = TTL;
	__builtin_memcpy(&ip->saddr, from, 16);
	__builtin_memcpy(&ip->daddr, to, 16);
}

static __always_inline __be32 outer_source4(__u16 port, __be32 src)
{
	return bswap32(0xac100000) | (__be32)((src ^ (__u32)port << 16) & 0xffff0000);
}

static __always_inline bool encap_v4(struct xdp_md *ctx, struct control *cval, bool is_ipv6, struct description *pckt, struct real *dst, __u32 bytes)
{
	__be32 src = is_ipv6 ? pckt->flow.srcv6[0] ^ pckt->flow.srcv6[1] ^ pckt->flow.srcv6[2] ^ pckt->flow.srcv6[3] : pckt->flow.src;
	if (bpf_xdp_adjust_head(ctx, 0 - (int)sizeof(struct iphdr)))
		return false;
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *new = data, *old = data + sizeof(struct iphdr);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	if ((void *)(new + 1) > end || (void *)(old + 1) > end || (void *)(ip + 1) > end)
		return false;
	write_ethernet(new, old, cval, ETH_P_IP);
	write_ip4(ip, pckt->tos, outer_source4(pckt->flow.port16[0], src), dst->dst, bytes + (is_ipv6 ? sizeof(struct ipv6hdr) : 0), is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP);
	return true;
}

static __always_inline bool encap_v6(struct xdp_md *ctx, struct control *cval, bool is_ipv6, struct description *pckt, struct real *dst, __u32 bytes)
{
	if (bpf_xdp_adjust_head(ctx, 0 - (int)sizeof(struct ipv6hdr)))
		return false;
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *new = data, *old = data + sizeof(struct ipv6hdr);
	struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	if ((void *)(new + 1) > end || (void *)(old + 1) > end || (void *)(ip + 1) > end)
		return false;
	write_ethernet(new, old, cval, ETH_P_IPV6);
	__be32 from[4] = { 256, 0, 0, 0 };
	from[2] = is_ipv6 ? pckt->flow.srcv6[2] : 0;
	from[3] = (is_ipv6 ? pckt->flow.srcv6[3] : pckt->flow.src) ^ pckt->flow.port16[0];
	write_ip6(ip, pckt->tos, from, dst->dstv6, bytes + (is_ipv6 ? sizeof(struct ipv6hdr) : 0), is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP);
	return true;
}

static __always_inline void write_gue(struct udphdr *udp, struct description *pckt, bool is_ipv6, __u16 bytes)
{
	__u32 hash = packet_hash(pckt, is_ipv6, false);
	struct gue *gue = (void *)(udp + 1);
	udp->source = (hash ^ hash >> 16) | 0xc0;
	udp->dest = bswap16(GUE_PORT);
	udp->len = bswap16(bytes);
	udp->check = 0;
	gue->first = 0;
	gue->protocol = is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	gue->flags = 0;
}

static __always_inline bool gue_v4(struct xdp_md *ctx, struct control *cval, bool is_ipv6, struct description *pckt, struct real *dst, __u32 bytes)
{
	__u32 key = 0;
	struct real *src = bpf_map_lookup_elem(&encap_sources, &key);
	if (!src)
		return false;
	__be32 from = src->dst;
	if (bpf_xdp_adjust_head(ctx, 0 - (int)(sizeof(struct iphdr) + sizeof(struct udphdr) + sizeof(struct gue))))
		return false;
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *new = data, *old = data + sizeof(struct iphdr) + sizeof(struct udphdr) + sizeof(struct gue);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);
	if ((void *)(old + 1) > end)
		return false;
	__u16 inside = bytes + (is_ipv6 ? sizeof(struct ipv6hdr) : 0) + sizeof(struct udphdr) + sizeof(struct gue);
	write_ethernet(new, old, cval, ETH_P_IP);
	write_gue(udp, pckt, is_ipv6, inside);
	write_ip4(ip, pckt->tos, from, dst->dst, inside, IPPROTO_UDP);
	return true;
}

static __always_inline bool gue_v6(struct xdp_md *ctx, struct control *cval, bool is_ipv6, struct description *pckt, struct real *dst, __u32 bytes)
{
	__u32 key = 1;
	struct real *src = bpf_map_lookup_elem(&encap_sources, &key);
	if (!src)
		return false;
	if (bpf_xdp_adjust_head(ctx, 0 - (int)(sizeof(struct ipv6hdr) + sizeof(struct udphdr) + sizeof(struct gue))))
		return false;
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *new = data, *old = data + sizeof(struct ipv6hdr) + sizeof(struct udphdr) + sizeof(struct gue);
	struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);
	if ((void *)(old + 1) > end)
		return false;
	__u16 inside = bytes + (is_ipv6 ? sizeof(struct ipv6hdr) : 0) + sizeof(struct udphdr) + sizeof(struct gue);
	write_ethernet(new, old, cval, ETH_P_IPV6);
	write_gue(udp, pckt, is_ipv6, inside);
	write_ip6(ip, pckt->tos, src->dstv6, dst->dstv6, inside, IPPROTO_UDP);
	return true;
}

/* What was sent to us in a tunnel is looked at again without it. */
static __always_inline bool decap(struct xdp_md *ctx, void **data, void **end, bool outer_ipv6, bool inner_ipv6)
{
	struct ethhdr *old = *data, *new = *data + (outer_ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	if ((void *)(new + 1) > *end || (void *)(old + 1) > *end)
		return false;
	__builtin_memmove(new->h_source, old->h_source, ETH_ALEN);
	__builtin_memmove(new->h_dest, old->h_dest, ETH_ALEN);
	new->h_proto = inner_ipv6 ? bswap16(ETH_P_IPV6) : bswap16(ETH_P_IP);
	if (bpf_xdp_adjust_head(ctx, outer_ipv6 ? (int)sizeof(struct ipv6hdr) : (int)sizeof(struct iphdr)))
		return false;
	*data = START(ctx);
	*end = END(ctx);
	return true;
}

/* --- which server --- */
static __always_inline bool over_rate(__u64 *now)
{
	__u32 key = 0;
	struct counts *made = bpf_map_lookup_elem(&new_connections, &key);
	if (!made)
		return true;
	*now = bpf_ktime_get_ns();
	if (*now - made->v2 > SECOND_NS) {
		made->v1 = 1;
		made->v2 = *now;
	} else {
		made->v1 += 1;
		if (made->v1 > MAX_NEW_PER_SECOND)
			return true;
	}
	return false;
}

static __always_inline bool from_ring(struct real **real, struct description *pckt, struct vip_meta *vip, bool is_ipv6, void *table)
{
	struct real_pos fresh = {};
	__u64 now = 0;
	bool limited = over_rate(&now);
	if (limited)
		bump(&stats, S_OVER_RATE, 1, 0);
	if (vip->flags & F_SRC_ROUTING && !(pckt->flags & P_ICMP)) {
		__u32 *found;
		if (is_ipv6) {
			struct source6 key = { 128 };
			__builtin_memcpy(key.addr, pckt->flow.srcv6, 16);
			found = bpf_map_lookup_elem(&lpm_src_v6, &key);
		} else {
			struct source4 key = { 32, pckt->flow.src };
			found = bpf_map_lookup_elem(&lpm_src_v4, &key);
		}
		bump(&stats, S_LPM, !!found, !found);
		if (found) {
			pckt->real_index = *found;
			*real = bpf_map_lookup_elem(&reals, &pckt->real_index);
			return *real != 0;
		}
	}
	if (vip->flags & F_HASH_NO_SRC_PORT)
		pckt->flow.port16[0] = 0;
	__u32 hash = packet_hash(pckt, is_ipv6, vip->flags & F_HASH_SRC_DST);
	__u32 key = RING * vip->number + hash % RING;
	__u32 *chosen = bpf_map_lookup_elem(&ch_rings, &key);
	if (!chosen)
		return false;
	pckt->real_index = *chosen;
	*real = bpf_map_lookup_elem(&reals, &pckt->real_index);
	if (!*real)
		return false;
	if (!(vip->flags & F_LRU_BYPASS) && !limited && !(pckt->flow.proto == IPPROTO_UDP && vip->flags & F_UDP_STATELESS)) {
		if (pckt->flow.proto == IPPROTO_UDP)
			fresh.seen_ns = now;
		fresh.pos = *chosen;
		bpf_map_update_elem(table, &pckt->flow, &fresh, BPF_ANY);
		bump(&stats, S_NEW_CONNECTION, 1, 0);
	}
	return true;
}

static __always_inline void from_table(struct real **real, struct description *pckt, struct vip_key *vip, void *table)
{
	struct real_pos *known = bpf_map_lookup_elem(table, &pckt->flow);
	if (!known)
		return;
	if (pckt->flow.proto == IPPROTO_UDP) {
		__u64 now = bpf_ktime_get_ns();
		if (now - known->seen_ns > LRU_TIMEOUT_NS) {
			bump(&stats, S_UDP_EXPIRED, 1, 0);
			return;
		}
		if (bpf_map_lookup_elem(&down_flows, vip)) {
			bump(&stats, S_MIGRATED, 1, 0);
			return;
		}
		known->seen_ns = now;
	}
	__u32 key = known->pos;
	pckt->real_index = key;
	*real = bpf_map_lookup_elem(&reals, &key);
}

static __always_inline void from_shared(struct real **real, struct description *pckt)
{
	__u32 *known = bpf_map_lookup_elem(&shared_lru, &pckt->flow);
	bump(&stats, S_SHARED_LRU, !!known, !known);
	if (!known)
		return;
	__u32 key = *known;
	pckt->real_index = key;
	*real = bpf_map_lookup_elem(&reals, &key);
}

static __always_inline bool from_server_id(__u32 id, struct real **real, struct description *pckt)
{
	__u32 key = id;
	__u32 *pos = bpf_map_lookup_elem(&server_ids, &key);
	if (!pos)
		return false;
	key = *pos;
	if (!key)
		return false;
	pckt->real_index = key;
	*real = bpf_map_lookup_elem(&reals, &key);
	return *real != 0;
}

static __always_inline int process(struct xdp_md *ctx, __u64 at, bool is_ipv6)
{
	void *data = START(ctx), *end = END(ctx);
	struct description pckt = {};
	struct vip_key vip = {};
	struct real *dst = 0;
	__u8 protocol;
	__u16 bytes;

	int action = parse_l3(&pckt, &protocol, &at, &bytes, data, end, is_ipv6);
	if (action >= 0)
		return action;

#ifdef WITH_DECAP
	if (!(pckt.flags & P_ICMP) && (protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6)) {
		struct address to = {};
		if (is_ipv6)
			__builtin_memcpy(to.addrv6, pckt.flow.dstv6, 16);
		else
			to.addr = pckt.flow.dst;
		if (!bpf_map_lookup_elem(&decap_dst, &to))
			return XDP_PASS;
		bump(&stats, S_DECAP, 1, 0);
		if (!decap(ctx, &data, &end, is_ipv6, protocol == IPPROTO_IPV6))
			return XDP_DROP;
		return XDP_PASS;
	}
#endif
	protocol = pckt.flow.proto;
	if (protocol == IPPROTO_TCP) {
		if (!parse_tcp(data, end, at, &pckt))
			return XDP_DROP;
	} else if (protocol == IPPROTO_UDP) {
		if (!parse_udp(data, end, at, &pckt))
			return XDP_DROP;
	} else {
		return XDP_PASS;
	}

	if (is_ipv6)
		__builtin_memcpy(vip.vipv6, pckt.flow.dstv6, 16);
	else
		vip.vip = pckt.flow.dst;
	vip.port = pckt.flow.port16[1];
	vip.proto = pckt.flow.proto;
	struct vip_meta *info = bpf_map_lookup_elem(&vip_map, &vip);
	if (!info) {
		vip.port = 0;
		info = bpf_map_lookup_elem(&vip_map, &vip);
		if (!info)
			return XDP_PASS;
		if (!(info->flags & F_HASH_DPORT_ONLY) && !(info->flags & F_QUIC))
			pckt.flow.port16[1] = 0;
	}
#ifdef WITH_TOO_BIG
	if (end - data > MAX_FRAME) {
		int whole = end - data;
		return is_ipv6 ? send_too_big6(ctx, whole) : send_too_big4(ctx, whole);
	}
#endif
	if (info->flags & F_HASH_DPORT_ONLY) {
		pckt.flow.port16[0] = pckt.flow.port16[1];
		__builtin_memset(pckt.flow.srcv6, 0, 16);
	}

	if (info->flags & F_QUIC && protocol == IPPROTO_UDP && !(pckt.flags & P_ICMP)) {
		__u32 id = quic_server(data, end, at);
		if (id) {
			bool there = from_server_id(id, &dst, &pckt);
			bump(&quic_stats, 0, there, !there);
			bump(&stats, there ? S_QUIC_CID : S_QUIC_CID_LOST, 1, 0);
		} else {
			bump(&quic_stats, 1, 1, 0);
		}
	}

	if (!dst) {
		__u32 cpu = bpf_get_smp_processor_id();
		void *table = bpf_map_lookup_elem(&lru_mapping, &cpu);
		if (!table) {
			table = &fallback_cache;
			bump(&stats, S_NO_TABLE, 1, 0);
		}
#ifdef WITH_TCP_OPTION
		if (protocol == IPPROTO_TCP && !(pckt.flags & (P_SYN | P_ICMP))) {
			__u32 id = tcp_server(data, end, at);
			if (id) {
				bool there = from_server_id(id, &dst, &pckt);
				bump(&stats, there ? S_TPR : S_TPR_LOST, 1, 0);
			}
		}
#endif
		if (!dst && !(pckt.flags & P_SYN) && !(info->flags & F_LRU_BYPASS))
			from_table(&dst, &pckt, &vip, table);
		if (!dst && info->flags & F_SHARED_LRU)
			from_shared(&dst, &pckt);
		if (!dst) {
			bump(&stats, S_LRU_MISS, !(pckt.flags & P_SYN), !!(pckt.flags & P_SYN));
			if (!from_ring(&dst, &pckt, info, is_ipv6, table)) {
				bump(&stats, S_NO_REAL, 1, 0);
				return XDP_DROP;
			}
			__u32 *missed = bpf_map_lookup_elem(&lru_miss_stats, &pckt.real_index);
			if (missed)
				*missed += 1;
		}
	}

	__u32 key = CTL_MAC;
	struct control *cval = bpf_map_lookup_elem(&controls, &key);
	if (!cval)
		return XDP_DROP;
	bump(&stats, S_LRU, 1, 0);
	bump(&vip_stats, info->number, 1, bytes);
	bump(&reals_stats, pckt.real_index, 1, bytes);
	if (info->flags & F_LOCAL && dst->flags & R_LOCAL)
		return XDP_PASS;

	bool done;
#ifdef WITH_GUE
	if (dst->flags & R_GUE)
		done = dst->flags & R_IPV6 ? gue_v6(ctx, cval, is_ipv6, &pckt, dst, bytes) : gue_v4(ctx, cval, is_ipv6, &pckt, dst, bytes);
	else
#endif
		done = dst->flags & R_IPV6 ? encap_v6(ctx, cval, is_ipv6, &pckt, dst, bytes) : encap_v4(ctx, cval, is_ipv6, &pckt, dst, bytes);
	if (!done) {
		bump(&stats, S_ENCAP_FAILED, 1, 0);
		return XDP_DROP;
	}
	return XDP_TX;
}

SEC("xdp") int balancer_full(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (eth->h_proto == bswap16(ETH_P_IP))
		return process(ctx, sizeof(*eth), false);
	if (eth->h_proto == bswap16(ETH_P_IPV6))
		return process(ctx, sizeof(*eth), true);
	return XDP_PASS;
}
