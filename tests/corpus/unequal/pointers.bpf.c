// Each program is compiled with OTHER 0 and 1, which do different things with pointers: no pair is equal.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
#ifndef OTHER
#define OTHER 0
#endif
#define PICK(a, b) (OTHER ? (b) : (a))
#if OTHER
#define TEXT(a, b) b
#else
#define TEXT(a, b) a
#endif
struct prefix { __u32 length; __u32 address; };
struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 4); };
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __type(key, struct prefix); __type(value, __u64); __uint(max_entries, 16); __uint(map_flags, BPF_F_NO_PREALLOC); } trie SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __type(key, __u32); __uint(max_entries, 4); __array(values, struct inner); } outer SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __type(key, __u32); __uint(max_entries, 4); __array(values, struct inner); } other_outer SEC(".maps");
struct inner direct SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 16); } table SEC(".maps");
__u64 x, y;

// 0 > p never holds, and p > 0 always does.
SEC("xdp") __attribute__((naked)) int zero_above(struct xdp_md *ctx)
{
	asm volatile("r0 = 1; r2 = 0; " TEXT("if r2 > r1 goto 1f", "if r1 > r2 goto 1f") "; r0 = 2; 1: exit;" ::: "memory");
}

// Two keys of a trie may lead to one value.
SEC("xdp") int same_prefix(struct xdp_md *ctx)
{
	struct prefix one = { 32, ctx->rx_queue_index }, two = { 32, ctx->ingress_ifindex };
	__u64 *v = bpf_map_lookup_elem(&trie, &one), *w = bpf_map_lookup_elem(&trie, &two);
	if (!v || !w) return 2;
	return PICK(v == w ? 1 : 3, 3);
}

SEC("xdp") int same_inner(struct xdp_md *ctx)
{
	__u32 one = 1, zero = 0;
	void *v = bpf_map_lookup_elem(&outer, &zero), *w = bpf_map_lookup_elem(&outer, &one);
	if (!v || !w) return 2;
	return PICK(v == w ? 1 : 3, 3);
}

// One map may stand in two maps of maps.
SEC("xdp") int inside_two(struct xdp_md *ctx)
{
	__u32 zero = 0;
	void *a = bpf_map_lookup_elem(&outer, &zero), *b = bpf_map_lookup_elem(&other_outer, &zero);
	if (!a || !b) return 2;
	__u64 *v = bpf_map_lookup_elem(a, &zero), *w = bpf_map_lookup_elem(b, &zero);
	if (!v || !w) return 2;
	if (PICK(1, 0)) { *v = 1; x = *w; } else { x = *w; *v = 1; }
	return 2;
}

SEC("xdp") int inside_and_beside(struct xdp_md *ctx)
{
	__u32 zero = 0;
	void *a = bpf_map_lookup_elem(&outer, &zero);
	if (!a) return 2;
	__u64 *v = bpf_map_lookup_elem(a, &zero), *w = bpf_map_lookup_elem(&direct, &zero);
	if (!v || !w) return 2;
	if (PICK(1, 0)) { *v = 1; x = *w; } else { x = *w; *v = 1; }
	return 2;
}

// What lies where the context is, is the kernel's own structure.
SEC("tc") int context_as_memory(struct __sk_buff *skb)
{
	__u32 length = 0;
	if (OTHER) length = skb->len; else bpf_probe_read_kernel(&length, 4, skb);
	return length & 0xff;
}

// On one path the slot holds the context, on the other one what another program left there.
SEC("xdp") __attribute__((naked)) int left_over(struct xdp_md *ctx)
{
	asm volatile("r2 = *(u32 *)(r1 + 16); r3 = 1; if r2 == 7 goto 1f; r3 = 0; *(u64 *)(r10 - 8) = r1; 1: r0 = 2;"
		     "if r3 == 0 goto 2f; r4 = *(u64 *)(r10 - 8);" TEXT("if r4 != 0 goto 2f", "r5 = 0") "; r0 = 1; 2: exit;" ::: "memory");
}

// A register is the context or a number, by the queue.
SEC("xdp") __attribute__((naked)) int either(struct xdp_md *ctx)
{
	asm volatile("r2 = *(u32 *)(r1 + 16); r3 = r1; r6 = r2; if r2 != 7 goto 1f; r3 = " TEXT("5", "6") ";"
		     "1: r0 = 2; if r6 != 7 goto 2f; r0 = r3; goto 3f; 2: r0 = *(u32 *)(r3 + 16); r0 &= 1; 3: exit;" ::: "memory");
}

// The joined pointer is NULL on one path; what is asked of it after the join tells the paths apart.
SEC("xdp") int joined(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index, next = key + 1;
	__u64 *v = bpf_map_lookup_elem(&table, &key);
	if (!v) v = bpf_map_lookup_elem(&table, &next);
	if (v) { *v += 1; return PICK(key & 1, (key + !bpf_map_lookup_elem(&table, &key)) & 1); }
	return 2;
}
