/* Arithmetic that compilers turn inside out: division, widths, bit fields, byte order, tables. */
#include "net.h"
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 16); } state SEC(".maps");
static const __u8 weights[16] = { 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 7, 11, 19, 23 };
__u64 a64, b64; __s64 s64v; __u32 a32, b32; __s32 s32v; __u16 a16; __s8 s8v;
struct bits { __u32 kind : 4, size : 12, more : 1, rest : 15; } bits;

SEC("xdp") int divide(struct xdp_md *ctx)
{
	__u64 d = b64 | 1;
	a64 = a64 / d + a64 % 10 + a32 / 7 + a32 % 1000;
	s32v = (__s32)(s32v >> 3) + (s8v << 2);
	b32 = a64 / 1000000000;
	return b32 & 1 ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int widths(struct xdp_md *ctx)
{
	__u8 low = a64;
	__u16 mid = a64 >> 8;
	__s16 smid = a64 >> 24;
	__s32 high = a64 >> 32;
	s64v = (__s64)low - mid + smid * high;
	a16 = (a16 << 3 | a16 >> 13) ^ low;
	if (smid < -5 && high > 3)
		s8v = smid >> 4;
	return s64v < 0 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int bitfields(struct xdp_md *ctx)
{
	bits.kind = bits.kind + 3;
	bits.size ^= a16;
	if (bits.more)
		bits.rest = bits.size * 5;
	bits.more = bits.kind == 9;
	return bits.rest > 77;
}

SEC("xdp") int weigh(struct xdp_md *ctx)
{
	__u64 sum = 0, left = a64;
#pragma unroll
	for (int i = 0; i < 16; i++) {
		sum += weights[left & 15] * (i + 1);
		left >>= 4;
	}
	b64 = sum;
	return sum > 5000 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int clamp(struct xdp_md *ctx)
{
	__s64 v = s64v;
	v = v < -1000 ? -1000 : v > 1000 ? 1000 : v;
	__u32 u = a32 > b32 ? a32 - b32 : b32 - a32;
	s64v = v * u;
	a32 = (a32 & 0xff00ff00) >> 8 | (a32 & 0x00ff00ff) << 8;
	b64 = __builtin_bswap64(b64) + bswap32(b32) + bswap16(a16);
	return v > 0;
}

SEC("xdp") int popcount(struct xdp_md *ctx)
{
	__u64 x = a64;
	x -= x >> 1 & 0x5555555555555555;
	x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
	b64 = x * 0x0101010101010101 >> 56;
	return b64 > 32 ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int sort4(struct xdp_md *ctx)
{
	__u64 v[4] = { a64, b64, a32, b32 }, swap;
#define ORDER(i, j) if (v[i] > v[j]) { swap = v[i]; v[i] = v[j]; v[j] = swap; }
	ORDER(0, 1) ORDER(2, 3) ORDER(0, 2) ORDER(1, 3) ORDER(1, 2)
	a64 = v[0];
	b64 = v[3];
	s64v = v[1] ^ v[2];
	return XDP_PASS;
}

SEC("xdp") int ewma(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index & 15;
	__u64 *old = bpf_map_lookup_elem(&state, &key);
	if (!old)
		return XDP_ABORTED;
	__u64 length = END(ctx) - START(ctx);
	*old = *old ? (*old * 7 + (length << 10)) / 8 : length << 10;
	return *old > 900 << 10 ? XDP_DROP : XDP_PASS;
}
