#include "net.h"
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(key_size, 4); __uint(value_size, 4); __uint(max_entries, 8); } chain SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 64); } histogram SEC(".maps");
struct sample { __u32 length, cookie; __u8 head[32]; };
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } samples SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
__u64 total, average;
__u32 mode;

SEC("xdp") int xdp_dispatch(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	if ((void *)(eth + 1) > END(ctx))
		return XDP_DROP;
	__u32 index = eth->h_proto == bswap16(ETH_P_IP) ? 0 : eth->h_proto == bswap16(ETH_P_IPV6) ? 1 : 2;
	bpf_tail_call(ctx, &chain, index);
	return mode ? XDP_DROP : XDP_PASS;
}

static __always_inline __u32 log2_of(__u32 value)
{
	__u32 shift, r;
	r = (value > 0xffff) << 4; value >>= r;
	shift = (value > 0xff) << 3; value >>= shift; r |= shift;
	shift = (value > 0xf) << 2; value >>= shift; r |= shift;
	shift = (value > 0x3) << 1; value >>= shift; r |= shift;
	return r | value >> 1;
}

SEC("xdp") int xdp_length_histogram(struct xdp_md *ctx)
{
	__u32 length = END(ctx) - START(ctx);
	__u32 slot = log2_of(length);
	__u64 *count = bpf_map_lookup_elem(&histogram, &slot);
	if (count)
		__sync_fetch_and_add(count, 1);
	total += length;
	average = average - average / 8 + length / 8;
	return XDP_PASS;
}

SEC("xdp") int xdp_sample(struct xdp_md *ctx)
{
	if (bpf_get_prandom_u32() % 100)
		return XDP_PASS;
	struct sample sample = {};
	void *data = START(ctx), *end = END(ctx);
	sample.length = end - data;
	sample.cookie = 0xc0ffee;
	if (data + 32 <= end)
		__builtin_memcpy(sample.head, data, 32);
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU | (__u64)sample.length << 32, &sample, sizeof sample);
	return XDP_PASS;
}

SEC("xdp") int xdp_report(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	struct sample *sample = bpf_ringbuf_reserve(&events, sizeof *sample, 0);
	if (!sample)
		return XDP_PASS;
	sample->length = end - data;
	sample->cookie = ctx->ingress_ifindex << 16 | ctx->rx_queue_index;
	__builtin_memset(sample->head, 0, sizeof sample->head);
	__builtin_memcpy(sample->head, eth, sizeof *eth);
	if (sample->length < 60)
		bpf_ringbuf_discard(sample, 0);
	else
		bpf_ringbuf_submit(sample, 0);
	return XDP_PASS;
}

/* Functions of the program's own, one of them global. */
static __noinline __u32 fold(__u32 a, __u32 b)
{
	return ROTL(a, 5) ^ b * 2654435761u;
}

__noinline int score(__u32 a, __u32 b)
{
	__u32 h = fold(a, b);
	for (int i = 0; i < 4; i++)
		h = fold(h, a + i);
	return h & 0xff;
}

SEC("xdp") int xdp_score(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > END(ctx))
		return XDP_PASS;
	return score(ip->saddr, ip->daddr) > 200 ? XDP_DROP : XDP_PASS;
}

/* A bounded loop over the packet. */
SEC("xdp") int xdp_checksum_loop(struct xdp_md *ctx)
{
	void *end = END(ctx);
	__u16 *word = START(ctx);
	__u32 sum = 0;
	for (int i = 0; i < 20; i++) {
		if ((void *)(word + i + 1) > end)
			break;
		sum += word[i];
	}
	total = csum_fold(sum);
	return XDP_PASS;
}

struct walk { __u64 sum; __u32 step, pad; };
static long visit(__u64 index, struct walk *walk)
{
	walk->sum += index * walk->step;
	return walk->sum > 1000;
}

SEC("xdp") int xdp_callback(struct xdp_md *ctx)
{
	struct walk walk = { 0, ctx->rx_queue_index & 7 };
	bpf_loop(16, visit, &walk, 0);
	total = walk.sum;
	return XDP_PASS;
}
