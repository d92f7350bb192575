/* Protocols and forwarding: IPv6, DNS, routes, a load balancer. */
#include "headers.h"

struct ipv6 { __u8 version, cls; __u16 label, len; __u8 next, hops; __u8 src[16], dst[16]; } __attribute__((packed));
struct route_key { __u32 prefix_bits, address; };
struct backend { __u32 address; __u8 mac[6]; __u16 port; };

struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 256); __uint(map_flags, 1); __type(key, struct route_key);
	__type(value, __u32); } fib SEC(".maps");
MAP(ring_of_backends, ARRAY, __u32, __u32, 256);
MAP(backends, ARRAY, __u32, struct backend, 16);

__u32 answers, hops_seen;

/* Extension headers of IPv6, up to four; the packet is IPv4, and what lies in it is read as if it were not. */
SEC("tc") int extension_headers(struct __sk_buff *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv6 *ip6 = (void *)(data + 14);
	if ((void *)(ip6 + 1) > (void *)end)
		return 2;
	__u8 next = ip6->next & 1 ? 60 : 0, *at = (__u8 *)(ip6 + 1);
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++) {
		if (next != 0 && next != 43 && next != 60)
			break;
		if (at + 8 > end)
			return 2;
		next = at[0] > 200 ? 17 : 43;
		at += 8;
	}
	hops_seen += ip6->hops + next;
	return 0;
}

/* The labels of a name, each a length and so many bytes, folded to lower case and hashed. */
SEC("tc") int name_hash(struct __sk_buff *ctx)
{
	PARSE(0);
	if (body + 40 > (__u8 *)end)
		return 0;
	__u32 hash = 5381, left = 0, labels = 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 40; i++) {
		__u8 c = body[i];
		if (!left) {
			left = c & 7;
			labels++;
			continue;
		}
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		hash = hash * 33 + c;
		left--;
	}
	answers = hash + labels;
	return 2;
}

SEC("xdp") int routed(struct xdp_md *ctx)
{
	PARSE(2);
	if (ip->ttl <= 1)
		return 2;
	struct route_key key = { 32, ip->dst };
	__u32 *port = bpf_map_lookup_elem(&fib, &key);
	if (!port)
		return 2;
	ip->ttl--;
	return 2;
}

/* A consistent hash picks a backend; destination and checksum are rewritten. */
SEC("tc") int balancer(struct __sk_buff *ctx)
{
	PARSE(0);
	__u64 tuple = (__u64)ip->src << 32 | (__u32)udp->src << 16 | udp->dst;
	tuple ^= tuple >> 33;
	tuple *= 0xff51afd7ed558ccdull;
	tuple ^= tuple >> 33;
	__u32 slot = tuple & 255;
	__u32 *which = bpf_map_lookup_elem(&ring_of_backends, &slot);
	if (!which)
		return 2;
	__u32 number = *which & 15;
	struct backend *to = bpf_map_lookup_elem(&backends, &number);
	if (!to)
		return 2;
	__u32 before = ip->dst, after = to->address | 0x0a;
	__u32 sum = (__u16)~ip->check + (__u16)~before + (__u16)(~before >> 16) + (__u16)after + (after >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~sum;
	ip->dst = after;
	__builtin_memcpy(eth->dmac, to->mac, 6);
	return 0;
}
