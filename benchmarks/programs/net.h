/* What the programs here share: headers, checksums, hashes. */
#pragma once
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/pkt_cls.h>
#include <bpfsmith/helpers.h>

/* What clang would not inline stays a function: calls between functions are part of what is compared. */
#ifndef INLINE_ALL
#undef __always_inline
#define __always_inline inline
#endif

#define bswap16(x) __builtin_bswap16(x)
#define bswap32(x) __builtin_bswap32(x)
#define START(ctx) ((void *)(long)(ctx)->data)
#define END(ctx) ((void *)(long)(ctx)->data_end)
#define COUNTERS(name, n)                                                                                              \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                                               \
		__type(key, __u32);                                                                                    \
		__type(value, __u64);                                                                                  \
		__uint(max_entries, n);                                                                                \
	} name SEC(".maps")

struct vlan_tag {
	__be16 tci, proto;
};
struct flow {
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u8 proto, pad[3];
};

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* RFC 1624: HC' = ~(~HC + ~m + m') */
static __always_inline void csum_replace2(__u16 *sum, __u16 old, __u16 new)
{
	*sum = csum_fold((__u16)~*sum + (__u16)~old + new);
}

static __always_inline void csum_replace4(__u16 *sum, __u32 old, __u32 new)
{
	csum_replace2(sum, old >> 16, new >> 16);
	csum_replace2(sum, old, new);
}

#define ROTL(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
static __always_inline __u32 mix3(__u32 a, __u32 b, __u32 c)
{
	c ^= b; c -= ROTL(b, 14);
	a ^= c; a -= ROTL(c, 11);
	b ^= a; b -= ROTL(a, 25);
	c ^= b; c -= ROTL(b, 16);
	a ^= c; a -= ROTL(c, 4);
	b ^= a; b -= ROTL(a, 14);
	c ^= b; c -= ROTL(b, 24);
	return c;
}

static __always_inline __u32 hash3(__u32 a, __u32 b, __u32 c, __u32 seed)
{
	return mix3(a + 0xdeadbeef + seed, b + 0xdeadbeef + seed, c + 0xdeadbeef + seed);
}

char _license[] SEC("license") = "GPL";
