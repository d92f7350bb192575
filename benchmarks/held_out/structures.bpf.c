/* Data structures, and programs in several functions. */
#include "headers.h"

struct bucket { struct bpf_spin_lock lock; __u32 tokens; __u64 since; };
struct parsed { __u32 src, dst; __u16 sport, dport; __u8 proto, ok; };

MAP(sketch, PERCPU_ARRAY, __u32, __u32, 4096);
MAP(buckets, ARRAY, __u32, struct bucket, 64);
MAP(latencies, PERCPU_ARRAY, __u32, __u64, 64);

__u64 bloom[128], digest, elapsed = 123456789;

static __always_inline __u32 mixed(__u32 x, __u32 seed)
{
	x ^= seed;
	x ^= x >> 16;
	x *= 0x85ebca6b;
	x ^= x >> 13;
	x *= 0xc2b2ae35;
	return x ^ x >> 16;
}

SEC("xdp") int count_min(struct xdp_md *ctx)
{
	PARSE(2);
	__u32 least = ~0u;
#pragma clang loop unroll(full)
	for (__u32 row = 0; row < 4; row++) {
		__u32 at = row << 10 | (mixed(ip->src, row * 0x9e3779b9) & 1023);
		__u32 *count = bpf_map_lookup_elem(&sketch, &at);
		if (!count)
			return 1;
		*count += 1;
		if (*count < least)
			least = *count;
	}
	return least == 0 ? 1 : 2;
}

SEC("tc") int bloom_filter(struct __sk_buff *ctx)
{
	PARSE(0);
	__u32 a = mixed(ip->src ^ ip->dst, 1), b = mixed(udp->src, 2);
	__u32 all = 1;
#pragma clang loop unroll(full)
	for (int i = 0; i < 5; i++) {
		__u32 bit = (a + i * b) & 8191;
		all &= bloom[bit >> 6] >> (bit & 63) & 1;
	}
	digest += all;
	return 0;
}

#define ROTL(x, k) ((x) << (k) | (x) >> (64 - (k)))
#define SIPROUND \
	v0 += v1; v1 = ROTL(v1, 13); v1 ^= v0; v0 = ROTL(v0, 32); v2 += v3; v3 = ROTL(v3, 16); v3 ^= v2; \
	v0 += v3; v3 = ROTL(v3, 21); v3 ^= v0; v2 += v1; v1 = ROTL(v1, 17); v1 ^= v2; v2 = ROTL(v2, 32)

SEC("xdp") int sip_hash(struct xdp_md *ctx)
{
	PARSE(2);
	__u64 v0 = 0x736f6d6570736575ull, v1 = 0x646f72616e646f6dull, v2 = 0x6c7967656e657261ull, v3 = 0x7465646279746573ull;
	__u64 m = (__u64)ip->src << 32 | ip->dst;
	v3 ^= m;
	SIPROUND;
	SIPROUND;
	v0 ^= m;
	v2 ^= 0xff;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	digest = v0 ^ v1 ^ v2 ^ v3;
	return 2;
}

static __noinline int ports_of(struct parsed *out, __u8 *at, __u8 *end)
{
	if (!out || at + 4 > end)
		return -1;
	out->sport = *(__u16 *)at;
	out->dport = *(__u16 *)(at + 2);
	return 0;
}

static __noinline int addresses_of(struct parsed *out, __u8 *at, __u8 *end)
{
	if (!out || at + 20 > end)
		return -1;
	out->src = *(__u32 *)(at + 12);
	out->dst = *(__u32 *)(at + 16);
	out->proto = at[9];
	return ports_of(out, at + 20, end);
}

SEC("tc") int in_functions(struct __sk_buff *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct parsed found = { 0 };
	if (addresses_of(&found, data + 14, end))
		return 2;
	digest += found.src + found.dst + found.sport + found.dport + found.proto;
	return 0;
}

SEC("tc") int locked_bucket(struct __sk_buff *ctx)
{
	PARSE(0);
	__u32 slot = ip->src & 63;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &slot);
	if (!b)
		return 2;
	__u32 enough;
	bpf_spin_lock(&b->lock);
	b->tokens = b->tokens < 1000 ? b->tokens + 2 : b->tokens;
	enough = b->tokens > 0;
	b->tokens -= enough;
	bpf_spin_unlock(&b->lock);
	return enough ? 0 : 2;
}

static __always_inline __u32 log2_of(__u64 v)
{
	__u32 r = (v > 0xffffffff) << 5, s;
	v >>= r;
	s = (v > 0xffff) << 4; v >>= s; r |= s;
	s = (v > 0xff) << 3; v >>= s; r |= s;
	s = (v > 0xf) << 2; v >>= s; r |= s;
	s = (v > 0x3) << 1; v >>= s; r |= s;
	return r | v >> 1;
}

SEC("xdp") int log2_histogram(struct xdp_md *ctx)
{
	__u32 slot = log2_of(elapsed + (ctx->data_end - ctx->data));
	__u64 *count = bpf_map_lookup_elem(&latencies, &slot);
	if (count)
		*count += 1;
	return 2;
}
