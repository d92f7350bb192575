// A cache in front of a UDP server: what it knows it answers itself, everything else goes on to the server.
#include <bpfsmith/helpers.h>

#ifndef DIGEST
#define DIGEST 0 // bytes that are hashed before the cache is asked, to see what a dear program does to the break-even
#endif

char LICENSE[] SEC("license") = "GPL";

struct frame {
	__u8 dmac[6], smac[6];
	__u16 proto;
	__u8 version_ihl, tos;
	__u16 tot_len, id, frag_off;
	__u8 ttl, protocol;
	__u16 ip_check;
	__u32 saddr, daddr;
	__u16 sport, dport, length, check;
	__u8 key, known;
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} known SEC(".maps");

__u8 secret[1024];

static __always_inline __u32 digest(void)
{
	__u32 hash = 0x811c9dc5;
#pragma clang loop unroll(disable)
	for (int i = 0; i < DIGEST; i++)
		hash = (hash ^ secret[i & 1023]) * 0x01000193;
	return hash;
}

SEC("xdp")
int cache(struct xdp_md *ctx)
{
	struct frame *f = (void *)(long)ctx->data;
	if ((void *)(f + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	if (f->proto != 0x0008 || f->protocol != 17 || f->dport != 0x0700)
		return XDP_PASS;
	__u32 key = f->key;
	if (DIGEST && digest() == 1)
		return XDP_PASS;
	if (!bpf_map_lookup_elem(&known, &key))
		return XDP_PASS;

	__u8 mac[6];
	__builtin_memcpy(mac, f->dmac, 6);
	__builtin_memcpy(f->dmac, f->smac, 6);
	__builtin_memcpy(f->smac, mac, 6);
	__u32 address = f->saddr;
	f->saddr = f->daddr;
	f->daddr = address;
	__u16 port = f->sport;
	f->sport = f->dport;
	f->dport = port;
	f->check = 0; // no checksum: allowed for UDP over IPv4
	f->known = 1;
	return XDP_TX;
}
