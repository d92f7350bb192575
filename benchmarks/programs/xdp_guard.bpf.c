#include "net.h"
struct prefix { __u32 length; __be32 address; };
struct bucket { __u64 tokens, last_ns; };
struct syns { __u32 syn, ack; __u64 since_ns; };
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __type(key, struct prefix); __type(value, __u32); __uint(max_entries, 256); __uint(map_flags, BPF_F_NO_PREALLOC); } routes SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __type(key, __be32); __type(value, struct bucket); __uint(max_entries, 4096); } buckets SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __be32); __type(value, __u64); __uint(max_entries, 4096); } blocked SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1024); } ports SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH); __type(key, __be32); __type(value, struct syns); __uint(max_entries, 1024); } handshakes SEC(".maps");
const volatile __u64 rate_per_s = 1000, burst = 64;
__u64 dropped, passed;

static __always_inline struct iphdr *ipv4(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > END(ctx) || eth->h_proto != bswap16(ETH_P_IP))
		return 0;
	return ip;
}

/* A token bucket a source. */
SEC("xdp") int xdp_rate_limit(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip)
		return XDP_PASS;
	__be32 source = ip->saddr;
	__u64 now = bpf_ktime_get_ns();
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &source);
	if (!bucket) {
		struct bucket fresh = { burst - 1, now };
		bpf_map_update_elem(&buckets, &source, &fresh, BPF_NOEXIST);
		return XDP_PASS;
	}
	__u64 due = (now - bucket->last_ns) * rate_per_s / 1000000000;
	__u64 tokens = bucket->tokens + due;
	if (due)
		bucket->last_ns = now;
	if (tokens > burst)
		tokens = burst;
	if (!tokens) {
		bucket->tokens = 0;
		return XDP_DROP;
	}
	bucket->tokens = tokens - 1;
	return XDP_PASS;
}

/* Addresses and prefixes that are refused, and ports that are open. */
SEC("xdp") int xdp_firewall(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip)
		return XDP_PASS;
	__be32 source = ip->saddr;
	__u64 *hits = bpf_map_lookup_elem(&blocked, &source);
	if (hits) {
		__sync_fetch_and_add(hits, 1);
		__sync_fetch_and_add(&dropped, 1);
		return XDP_DROP;
	}
	if (ip->ihl == 5 && (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP)) {
		__be16 *pair = (void *)(ip + 1);
		if ((void *)(pair + 2) > END(ctx))
			return XDP_DROP;
		__u16 port = bswap16(pair[1]);
		__u32 word = port >> 6;
		__u64 *open = bpf_map_lookup_elem(&ports, &word);
		if (!open || !(*open >> (port & 63) & 1)) {
			__sync_fetch_and_add(&dropped, 1);
			return XDP_DROP;
		}
	}
	__sync_fetch_and_add(&passed, 1);
	return XDP_PASS;
}

SEC("xdp") int xdp_prefix(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip)
		return XDP_PASS;
	struct prefix key = { 32, ip->saddr };
	__u32 *verdict = bpf_map_lookup_elem(&routes, &key);
	return verdict ? *verdict & 3 : XDP_PASS;
}

/* More SYNs than ACKs within a second: the source is refused. */
SEC("xdp") int xdp_syn_flood(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip || ip->protocol != IPPROTO_TCP || ip->ihl != 5)
		return XDP_PASS;
	struct tcphdr *tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > END(ctx))
		return XDP_PASS;
	__be32 source = ip->saddr;
	__u64 now = bpf_ktime_get_ns();
	struct syns *seen = bpf_map_lookup_elem(&handshakes, &source);
	if (!seen) {
		struct syns fresh = { tcp->syn, tcp->ack, now };
		bpf_map_update_elem(&handshakes, &source, &fresh, BPF_ANY);
		return XDP_PASS;
	}
	if (now - seen->since_ns > 1000000000) {
		seen->syn = seen->ack = 0;
		seen->since_ns = now;
	}
	if (tcp->syn && !tcp->ack)
		seen->syn++;
	else if (tcp->ack)
		seen->ack++;
	if (seen->syn > 100 && seen->syn > seen->ack * 2) {
		__u64 one = 1;
		bpf_map_update_elem(&blocked, &source, &one, BPF_ANY);
		return XDP_DROP;
	}
	return XDP_PASS;
}
