/*
 * Programs that the model of the core is fitted to. What predictions are checked against is not among them.
 * All are for tc: its test run can be timed more finely than that of XDP.
 */
#include <bpfsmith/helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct headers {
	__u8 dmac[6], smac[6];
	__u16 proto;
	__u8 version_ihl, tos;
	__u16 tot_len, id, frag_off;
	__u8 ttl, protocol;
	__u16 ip_check;
	__u32 saddr, daddr;
	__u16 sport, dport, length, check;
} __attribute__((packed));

struct flow {
	__u32 saddr, daddr;
	__u16 sport, dport;
	__u32 protocol;
};

#define MAP(name, kind, k, v, n)                                     \
	struct {                                                     \
		__uint(type, BPF_MAP_TYPE_##kind);                   \
		__uint(max_entries, n);                              \
		__type(key, k);                                      \
		__type(value, v);                                    \
	} name SEC(".maps")

MAP(slots, ARRAY, __u32, __u64, 16);
MAP(cpu_slots, PERCPU_ARRAY, __u32, __u64, 16);
MAP(flows, HASH, struct flow, __u64, 1024);
MAP(hosts, HASH, __u32, __u64, 1024);
MAP(recent, LRU_HASH, __u32, __u64, 1024);

__u64 tokens = 1000000000, last, total;
__u32 table[64];

#define HEADERS                                                      \
	struct headers *h = (void *)(long)ctx->data;                 \
	void *end = (void *)(long)ctx->data_end;                     \
	if ((void *)(h + 1) > end || h->proto != 0x0008 || h->protocol != 17) \
		return 2
#define PAYLOAD(bytes)                                               \
	__u8 *payload = (void *)(h + 1);                             \
	if (payload + bytes > (__u8 *)end)                           \
		return 2

SEC("tc") int parse(struct __sk_buff *ctx)
{
	HEADERS;
	return h->dport == 0x0700 ? 1 : 2;
}

SEC("tc") int ip_checksum(struct __sk_buff *ctx)
{
	HEADERS;
	__u16 *words = (__u16 *)&h->version_ihl;
	__u32 sum = 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff ? 1 : 2;
}

SEC("tc") int hash_payload(struct __sk_buff *ctx)
{
	HEADERS;
	PAYLOAD(48);
	__u32 hash = 0x811c9dc5;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 48; i++)
		hash = (hash ^ payload[i]) * 0x01000193;
	total += hash;
	return 2;
}

SEC("tc") int count_atomic(struct __sk_buff *ctx)
{
	HEADERS;
	__u32 key = h->ttl & 15;
	__u64 *value = bpf_map_lookup_elem(&slots, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
	return 2;
}

SEC("tc") int count_per_cpu(struct __sk_buff *ctx)
{
	HEADERS;
	__u32 key = h->ttl & 15;
	__u64 *value = bpf_map_lookup_elem(&cpu_slots, &key);
	if (value)
		*value += 1;
	return 0;
}

SEC("tc") int find_flow(struct __sk_buff *ctx)
{
	HEADERS;
	struct flow flow = { h->saddr, h->daddr, h->sport, h->dport, h->protocol };
	__u64 *value = bpf_map_lookup_elem(&flows, &flow);
	if (!value)
		return 2;
	*value += 1;
	return 1;
}

SEC("tc") int two_hosts(struct __sk_buff *ctx)
{
	HEADERS;
	__u32 from = h->saddr, to = h->daddr;
	__u64 *a = bpf_map_lookup_elem(&hosts, &from);
	__u64 *b = bpf_map_lookup_elem(&hosts, &to);
	return a && b ? 2 : 0;
}

SEC("tc") int token_bucket(struct __sk_buff *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 more = (now - last) >> 4;
	last = now;
	tokens += more;
	if (tokens > 1000000000)
		tokens = 1000000000;
	if (tokens < 1)
		return 1;
	tokens--;
	return 2;
}

SEC("tc") int sample(struct __sk_buff *ctx)
{
	if (bpf_get_prandom_u32() == 7)
		total++;
	return 2;
}

SEC("tc") int turn(struct __sk_buff *ctx)
{
	HEADERS;
	__u8 mac[6];
	__builtin_memcpy(mac, h->dmac, 6);
	__builtin_memcpy(h->dmac, h->smac, 6);
	__builtin_memcpy(h->smac, mac, 6);
	__u32 address = h->saddr;
	h->saddr = h->daddr;
	h->daddr = address;
	__u16 port = h->sport;
	h->sport = h->dport;
	h->dport = port;
	return 0;
}

SEC("tc") int mix(struct __sk_buff *ctx)
{
	HEADERS;
	__u64 x = h->saddr;
#pragma clang loop unroll(full)
	for (int i = 0; i < 8; i++) {
		x *= 0x9e3779b97f4a7c15ull;
		x ^= x >> 29;
	}
	total = x;
	return 2;
}

SEC("tc") int spread(struct __sk_buff *ctx)
{
	HEADERS;
	__u32 a = h->saddr % 251, b = h->daddr % (h->ttl | 1);
	table[(a + b) & 63]++;
	return 0;
}

SEC("tc") int pseudo_header(struct __sk_buff *ctx)
{
	HEADERS;
	__u32 words[4] = { h->saddr, h->daddr, h->protocol, h->length };
	total += bpf_csum_diff(0, 0, words, sizeof(words), 0);
	return 0;
}

static __noinline __u32 step(__u32 x) { return x * 33 + 7; }
SEC("tc") int called(struct __sk_buff *ctx)
{
	HEADERS;
	total += step(step(step(h->saddr)));
	return 2;
}

SEC("tc") int letters(struct __sk_buff *ctx)
{
	HEADERS;
	PAYLOAD(48);
	__u32 found = 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 48; i++)
		if (payload[i] >= 'a' && payload[i] <= 'z')
			found++;
	total += found;
	return 0;
}

SEC("tc") int remember(struct __sk_buff *ctx)
{
	HEADERS;
	__u32 key = h->saddr;
	__u64 value = h->ttl;
	bpf_map_update_elem(&recent, &key, &value, BPF_ANY);
	return 2;
}

SEC("tc") int fetch(struct __sk_buff *ctx)
{
	__u8 bytes[32];
	if (bpf_skb_load_bytes(ctx, 14, bytes, sizeof(bytes)))
		return 2;
	total += bytes[0] + bytes[31];
	return 0;
}

SEC("tc") int histogram(struct __sk_buff *ctx)
{
	HEADERS;
	PAYLOAD(48);
#pragma clang loop unroll(disable)
	for (int i = 0; i < 48; i++)
		table[payload[i] & 63]++;
	return 2;
}
