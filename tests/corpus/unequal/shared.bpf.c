// Each program is compiled with OTHER 0 and 1: the second touches memory that CPUs share in a way that others can come between,
// where the first does not. One run alone does the same with both, and yet no pair is equal.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
#ifndef OTHER
#define OTHER 0
#endif
struct flow { __u64 packets, bytes, seen, last; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 64); } counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, struct flow); __uint(max_entries, 64); } flows SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, struct flow); __uint(max_entries, 16); } table SEC(".maps");
__u64 a, b, c, d;
struct bpf_spin_lock guard SEC(".data.guard");
#define ADD(place, n) do { if (OTHER) *(volatile __u64 *)&(place) += (n); else __sync_fetch_and_add(&(place), n); } while (0)

SEC("xdp") int counted(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	__u64 *v = bpf_map_lookup_elem(&counts, &key);
	if (v) ADD(*v, 1);
	return 2;
}

// The value has places that are only overwritten, too.
SEC("xdp") int counted_beside(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	struct flow *v = bpf_map_lookup_elem(&flows, &key);
	if (!v) return 2;
	v->seen = 1;
	ADD(v->packets, 1);
	v->last = 5;
	return 2;
}

SEC("xdp") int counted_in_array(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	struct flow *v = bpf_map_lookup_elem(&table, &key);
	if (!v) return 2;
	v->seen = 1;
	ADD(v->bytes, 1);
	v->last = v->seen;
	return 2;
}

// Only where the packet came in by the second queue.
SEC("xdp") int seldom(struct xdp_md *ctx)
{
	__u32 key = 7;
	__u64 *v = bpf_map_lookup_elem(&counts, &key);
	if (!v) return 2;
	if (ctx->rx_queue_index != 1) __sync_fetch_and_add(v, 1);
	else ADD(*v, 1);
	return 2;
}

SEC("xdp") int added_twice(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	__u64 *v = bpf_map_lookup_elem(&counts, &key);
	if (!v) return 2;
	if (OTHER) { __sync_fetch_and_add(v, 1); __sync_fetch_and_add(v, 1); }
	else __sync_fetch_and_add(v, 2);
	return 2;
}

SEC("xdp") int exchanged(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	__u64 *v = bpf_map_lookup_elem(&counts, &key), old;
	if (!v) return 2;
	if (OTHER) { old = *(volatile __u64 *)v; *(volatile __u64 *)v = 9; } else old = __sync_lock_test_and_set(v, 9);
	a = old;
	return 2;
}

SEC("xdp") int unlocked(struct xdp_md *ctx)
{
	c = d;
	bpf_spin_lock(&guard);
	a += 1;
	if (OTHER) bpf_spin_unlock(&guard);
	b = a;
	if (!OTHER) bpf_spin_unlock(&guard);
	return 2;
}

SEC("xdp") int two_sections(struct xdp_md *ctx)
{
	c = d;
	bpf_spin_lock(&guard);
	a += 1;
	if (OTHER) { bpf_spin_unlock(&guard); bpf_spin_lock(&guard); }
	b += 1;
	bpf_spin_unlock(&guard);
	return 2;
}

SEC("xdp") int moved_between_sections(struct xdp_md *ctx)
{
	c = d;
	bpf_spin_lock(&guard);
	a += 1;
	if (!OTHER) b += 1;
	bpf_spin_unlock(&guard);
	d = 3;
	bpf_spin_lock(&guard);
	if (OTHER) b += 1;
	c += 1;
	bpf_spin_unlock(&guard);
	return 2;
}

SEC("xdp") int put_in_place(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	struct flow new = { 1, 2, 3, 4 }, *v = bpf_map_lookup_elem(&flows, &key);
	if (!v) return 2;
	if (!OTHER) bpf_map_update_elem(&flows, &key, &new, BPF_EXIST);
	else { v->packets = 1; v->bytes = 2; v->seen = 3; v->last = 4; }
	return 2;
}
