/* State: counters, tables, limits. */
#include "headers.h"

struct pair { __u32 a, b; };
struct tuple { __u32 src, dst; __u16 sport, dport; __u8 proto, pad[3]; };
struct stats { __u64 packets, bytes, last; };
struct name { __u8 text[32]; };

MAP(by_proto, ARRAY, __u32, __u64, 256);
MAP(cpu_stats, PERCPU_ARRAY, __u32, struct stats, 4);
MAP(conns, HASH, struct tuple, struct stats, 4096);
MAP(peers, HASH, struct pair, __u64, 4096);
MAP(names, HASH, struct name, __u32, 1024);
MAP(clients, LRU_HASH, __u32, struct stats, 4096);
MAP(blocked, HASH, __u32, __u8, 1024);
MAP(settings, ARRAY, __u32, __u32, 8);
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 64); __uint(map_flags, 1); __type(key, struct pair);
	__type(value, __u32); } routes SEC(".maps");

SEC("xdp") int protocol_counter(struct xdp_md *ctx)
{
	PARSE(2);
	__u32 key = ip->proto;
	__u64 *value = bpf_map_lookup_elem(&by_proto, &key);
	if (value)
		*value += 1;
	return 2;
}

SEC("xdp") int cpu_statistics(struct xdp_md *ctx)
{
	PARSE(2);
	__u32 key = ip->tos & 3;
	struct stats *s = bpf_map_lookup_elem(&cpu_stats, &key);
	if (!s)
		return 1;
	s->packets++;
	s->bytes += ctx->data_end - ctx->data;
	return 2;
}

SEC("xdp") int block_list(struct xdp_md *ctx)
{
	PARSE(2);
	__u32 key = ip->src;
	return bpf_map_lookup_elem(&blocked, &key) ? 1 : 2;
}

SEC("xdp") int connection(struct xdp_md *ctx)
{
	PARSE(2);
	struct tuple key = { ip->src, ip->dst, udp->src, udp->dst, ip->proto, { 0 } };
	struct stats *s = bpf_map_lookup_elem(&conns, &key);
	if (!s) {
		struct stats fresh = { 1, 0, 0 };
		bpf_map_update_elem(&conns, &key, &fresh, BPF_NOEXIST);
		return 2;
	}
	s->packets++;
	s->bytes += 100;
	return 2;
}

SEC("tc") int connection_timed(struct __sk_buff *ctx)
{
	PARSE(0);
	struct tuple key = { ip->src, ip->dst, udp->src, udp->dst, ip->proto, { 0 } };
	struct stats *s = bpf_map_lookup_elem(&conns, &key);
	if (!s) {
		struct stats fresh = { 1, 0, 0 };
		bpf_map_update_elem(&conns, &key, &fresh, BPF_NOEXIST);
		return 0;
	}
	s->packets++;
	s->last = bpf_ktime_get_ns();
	return 0;
}

SEC("tc") int both_ways(struct __sk_buff *ctx)
{
	PARSE(0);
	struct pair there = { ip->src, ip->dst }, back = { ip->dst, ip->src };
	if (bpf_map_lookup_elem(&peers, &there))
		return 2;
	return bpf_map_lookup_elem(&peers, &back) ? 2 : 0;
}

SEC("xdp") int name_service(struct xdp_md *ctx)
{
	PARSE(2);
	if (body + 32 > (__u8 *)end)
		return 2;
	struct name key;
	__builtin_memcpy(&key, body, 32);
	return bpf_map_lookup_elem(&names, &key) ? 1 : 2;
}

SEC("tc") int per_client(struct __sk_buff *ctx)
{
	PARSE(0);
	__u32 key = ip->src;
	struct stats *s = bpf_map_lookup_elem(&clients, &key);
	if (s) {
		s->packets++;
		return 0;
	}
	struct stats fresh = { 1, 0, 0 };
	bpf_map_update_elem(&clients, &key, &fresh, BPF_ANY);
	return 0;
}

SEC("xdp") int configured(struct xdp_md *ctx)
{
	__u32 zero = 0, one = 1, two = 2;
	__u32 *a = bpf_map_lookup_elem(&settings, &zero), *b = bpf_map_lookup_elem(&settings, &one);
	__u32 *c = bpf_map_lookup_elem(&settings, &two);
	return a && b && c && *a + *b + *c > 100 ? 1 : 2;
}

SEC("xdp") int overwrite(struct xdp_md *ctx)
{
	PARSE(2);
	struct pair key = { ip->src, 7 };
	__u64 value = ip->ttl;
	bpf_map_update_elem(&peers, &key, &value, BPF_ANY);
	return 2;
}

SEC("tc") int three_tables(struct __sk_buff *ctx)
{
	PARSE(0);
	__u32 key = ip->src, proto = ip->proto;
	struct pair pair = { ip->src, ip->dst };
	if (bpf_map_lookup_elem(&blocked, &key))
		return 2;
	__u64 *count = bpf_map_lookup_elem(&by_proto, &proto);
	if (count)
		__sync_fetch_and_add(count, 1);
	bpf_map_lookup_elem(&peers, &pair);
	return 0;
}
