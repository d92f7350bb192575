/* What the held-out programs share. */
#pragma once
#include <bpfsmith/helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct eth { __u8 dmac[6], smac[6]; __u16 proto; } __attribute__((packed));
struct ipv4 { __u8 vihl, tos; __u16 len, id, frag; __u8 ttl, proto; __u16 check; __u32 src, dst; } __attribute__((packed));
struct udp { __u16 src, dst, len, check; } __attribute__((packed));

#define MAP(name, kind, k, v, n) \
	struct { __uint(type, BPF_MAP_TYPE_##kind); __uint(max_entries, n); __type(key, k); __type(value, v); } name SEC(".maps")

#define PARSE(pass) \
	struct eth *eth = (void *)(long)ctx->data; \
	void *end = (void *)(long)ctx->data_end; \
	struct ipv4 *ip = (void *)(eth + 1); \
	struct udp *udp = (void *)(ip + 1); \
	__u8 *body = (void *)(udp + 1); \
	if ((void *)body > end || eth->proto != 0x0008 || ip->proto != 17) \
		return pass
