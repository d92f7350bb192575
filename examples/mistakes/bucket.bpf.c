// A token bucket for each source: tokens in billionths, so that rates that do not divide a nanosecond are kept.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpfsmith/helpers.h>

#define TOKEN 1000000000ULL
#define RATE 1000ULL
#define BURST (100 * TOKEN)

struct bucket {
	__u64 tokens, last_ns;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __be32);
	__type(value, struct bucket);
	__uint(max_entries, 1024);
} buckets SEC(".maps");

SEC("xdp")
int bucket(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > (void *)(long)ctx->data_end || eth->h_proto != __builtin_bswap16(ETH_P_IP))
		return XDP_PASS;
	__be32 source = ip->saddr;
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &source);
	if (!bucket)
		return XDP_PASS;
	__u64 now = bpf_ktime_get_ns(), elapsed = now - bucket->last_ns;
	__u64 tokens = BURST;
	if (elapsed < BURST / RATE && bucket->tokens < BURST - elapsed * RATE)
		tokens = bucket->tokens + elapsed * RATE;
	bucket->last_ns = now;
	if (tokens < TOKEN) {
		bucket->tokens = tokens;
		return XDP_DROP;
	}
	bucket->tokens = tokens - TOKEN;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
