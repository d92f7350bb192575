/* Arithmetic, hashing, helpers. */
#include "headers.h"

__u64 out;
__u32 weights[32], key_words[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
__u64 credit = 1ull << 40, stamp;

SEC("xdp") int jenkins(struct xdp_md *ctx)
{
	PARSE(2);
	__u32 a = ip->src + 0xdeadbef7, b = ip->dst + 0xdeadbef7, c = (udp->src << 16 | udp->dst) + 0xdeadbef7;
#define ROT(x, k) ((x) << (k) | (x) >> (32 - (k)))
	c ^= b; c -= ROT(b, 14); a ^= c; a -= ROT(c, 11); b ^= a; b -= ROT(a, 25);
	c ^= b; c -= ROT(b, 16); a ^= c; a -= ROT(c, 4); b ^= a; b -= ROT(a, 14);
	c ^= b; c -= ROT(b, 24);
	out = c;
	return 2;
}

SEC("xdp") int toeplitz(struct xdp_md *ctx)
{
	PARSE(2);
	__u32 input = ip->src, key = key_words[0], result = 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 32; i++) {
		if (input & 1u << (31 - i))
			result ^= key;
		key = key << 1 | (key_words[1] >> (31 - i) & 1);
	}
	out = result;
	return 2;
}

__u32 nibbles[16] = {
	0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
	0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

SEC("tc") int crc(struct __sk_buff *ctx)
{
	PARSE(0);
	if (body + 16 > (__u8 *)end)
		return 0;
	__u32 crc = ~0u;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 16; i++) {
		crc = nibbles[(crc ^ body[i]) & 15] ^ crc >> 4;
		crc = nibbles[(crc ^ body[i] >> 4) & 15] ^ crc >> 4;
	}
	out = ~crc;
	return 0;
}

SEC("xdp") int weighted(struct xdp_md *ctx)
{
	PARSE(2);
	if (body + 32 > (__u8 *)end)
		return 2;
	__u64 sum = 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 32; i++)
		sum += (__u64)body[i] * weights[i];
	out = sum;
	return 2;
}

SEC("xdp") int modulo_backend(struct xdp_md *ctx)
{
	PARSE(2);
	__u32 backends = (ip->ttl & 7) + 3;
	out += (ip->src ^ ip->dst ^ udp->src) % backends;
	return 2;
}

SEC("tc") int average(struct __sk_buff *ctx)
{
	out = (out * 7 + ctx->len) / 8;
	return 0;
}

SEC("xdp") int limiter(struct xdp_md *ctx)
{
	PARSE(2);
	__u64 now = bpf_ktime_get_ns();
	credit += (now - stamp) * 3;
	stamp = now;
	if (credit > 1ull << 40)
		credit = 1ull << 40;
	if (credit < 1000)
		return 1;
	credit -= 1000;
	return 2;
}

SEC("xdp") int random_early(struct xdp_md *ctx)
{
	PARSE(2);
	if (bpf_get_prandom_u32() % 1000 == 1001)
		return 1;
	return 2;
}

SEC("tc") int loaded_headers(struct __sk_buff *ctx)
{
	__u8 eth[14], ip[20];
	if (bpf_skb_load_bytes(ctx, 0, eth, sizeof(eth)) || bpf_skb_load_bytes(ctx, 14, ip, sizeof(ip)))
		return 0;
	return eth[12] == 8 && ip[9] == 17 ? 0 : 2;
}

SEC("xdp") int bubble(struct xdp_md *ctx)
{
	PARSE(2);
	if (body + 8 > (__u8 *)end)
		return 2;
	__u8 v[8];
	__builtin_memcpy(v, body, 8);
#pragma clang loop unroll(full)
	for (int i = 0; i < 7; i++)
#pragma clang loop unroll(full)
		for (int j = 0; j < 7 - i; j++) {
			__u8 a = v[j], b = v[j + 1];
			v[j] = a < b ? a : b;
			v[j + 1] = a < b ? b : a;
		}
	out = v[3];
	return 2;
}
