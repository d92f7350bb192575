// Each program is compiled with OTHER 0 and 1, which differ in something that can be seen: no pair is equal.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
#ifndef OTHER
#define OTHER 0
#endif
#define PICK(a, b) (OTHER ? (b) : (a))
#define MAP(name, kind, ktype, vtype, n) \
	struct { __uint(type, BPF_MAP_TYPE_##kind); __type(key, ktype); __type(value, vtype); __uint(max_entries, n); } name SEC(".maps")
struct pair { __u64 a, b; };
MAP(array, ARRAY, __u32, __u64, 8);
MAP(hash, HASH, __u32, struct pair, 8);
MAP(percpu, PERCPU_ARRAY, __u32, __u64, 4);
MAP(lru, LRU_HASH, __u32, __u64, 64);
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } perf SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(key_size, 4); __uint(value_size, 4); __uint(max_entries, 4); } progs SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(key_size, 4); __uint(value_size, 4); __uint(max_entries, 4); } ports SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __type(value, __u32); __uint(max_entries, 4); } queue SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_STACK); __type(value, __u32); __uint(max_entries, 4); } stack SEC(".maps");
__u64 x, y;

SEC("xdp") int last_element(struct xdp_md *ctx)
{
	__u32 key = PICK(7, 8);
	return bpf_map_lookup_elem(&array, &key) ? 1 : 2;
}

SEC("xdp") int other_word(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct pair *v = bpf_map_lookup_elem(&hash, &key);
	if (v) {
		if (PICK(1, 0)) v->a += 1; else v->b += 1;
	}
	return 2;
}

SEC("xdp") int any_or_new(struct xdp_md *ctx)
{
	__u32 key = 3;
	struct pair v = { 1, 2 };
	bpf_map_update_elem(&hash, &key, &v, PICK(BPF_ANY, BPF_NOEXIST));
	return 2;
}

SEC("xdp") int any_or_known(struct xdp_md *ctx)
{
	__u32 key = 3;
	struct pair v = { 1, 2 };
	bpf_map_update_elem(&hash, &key, &v, PICK(BPF_ANY, BPF_EXIST));
	return 2;
}

SEC("xdp") int result_of_delete(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	long failed = bpf_map_delete_elem(&hash, &key);
	return PICK(2, failed ? 1 : 2);
}

SEC("xdp") int deleted_or_zeroed(struct xdp_md *ctx)
{
	__u32 key = 5;
	struct pair zero = {};
	if (PICK(1, 0)) bpf_map_delete_elem(&hash, &key);
	else bpf_map_update_elem(&hash, &key, &zero, BPF_EXIST);
	return 2;
}

SEC("xdp") int update_then_delete(struct xdp_md *ctx)
{
	__u32 key = 5;
	struct pair v = { 7, 8 };
	if (PICK(1, 0)) {
		bpf_map_delete_elem(&hash, &key);
		bpf_map_update_elem(&hash, &key, &v, BPF_ANY);
	} else {
		bpf_map_update_elem(&hash, &key, &v, BPF_ANY);
		bpf_map_delete_elem(&hash, &key);
	}
	return 2;
}

// With the same key the second store wins; with keys that may be the same, their order is seen.
SEC("xdp") int aliased_keys(struct xdp_md *ctx)
{
	__u32 first = x & 7, second = y & 7;
	__u64 one = 1, two = 2;
	if (PICK(1, 0)) {
		bpf_map_update_elem(&array, &first, &one, 0);
		bpf_map_update_elem(&array, &second, &two, 0);
	} else {
		bpf_map_update_elem(&array, &second, &two, 0);
		bpf_map_update_elem(&array, &first, &one, 0);
	}
	return 2;
}

SEC("xdp") int aliased_pointers(struct xdp_md *ctx)
{
	__u32 first = x & 7, second = y & 7;
	__u64 *a = bpf_map_lookup_elem(&array, &first), *b = bpf_map_lookup_elem(&array, &second);
	if (!a || !b) return 1;
	if (PICK(1, 0)) { *a = 3; x = *b; } else { x = *b; *a = 3; }
	return 2;
}

SEC("xdp") int value_before_or_after(struct xdp_md *ctx)
{
	__u32 key = 1;
	__u64 nine = 9, *v = bpf_map_lookup_elem(&array, &key);
	if (!v) return 1;
	if (PICK(1, 0)) { x = *v; bpf_map_update_elem(&array, &key, &nine, 0); }
	else { bpf_map_update_elem(&array, &key, &nine, 0); x = *v; }
	return 2;
}

SEC("xdp") int plain_or_atomic(struct xdp_md *ctx)
{
	if (PICK(1, 0)) __sync_fetch_and_add(&x, 1); else *(volatile __u64 *)&x += 1;
	return 2;
}

SEC("xdp") int atomic_in_two(struct xdp_md *ctx)
{
	__u32 key = 2;
	__u64 *v = bpf_map_lookup_elem(&array, &key);
	if (!v) return 1;
	if (PICK(1, 0)) return __sync_fetch_and_add(v, 1) > 5 ? 1 : 2;
	__sync_fetch_and_add(v, 1);
	return *(volatile __u64 *)v > 6 ? 1 : 2;
}

SEC("xdp") int exchange_or_or(struct xdp_md *ctx)
{
	return (PICK(__sync_lock_test_and_set(&x, 1), __sync_fetch_and_or(&x, 1))) ? 1 : 2;
}

SEC("xdp") int compare_exchange(struct xdp_md *ctx)
{
	return __sync_val_compare_and_swap(&x, PICK(0, 1), 2) ? 1 : 2;
}

SEC("xdp") int percpu_step(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *v = bpf_map_lookup_elem(&percpu, &key);
	if (v) *v += PICK(1, 2);
	return 2;
}

SEC("xdp") int lru_or_nothing(struct xdp_md *ctx)
{
	__u32 key = ctx->ingress_ifindex;
	__u64 v = 1;
	if (PICK(1, 0)) bpf_map_update_elem(&lru, &key, &v, 0);
	return 2;
}

SEC("xdp") int submitted_or_discarded(struct xdp_md *ctx)
{
	__u64 *e = bpf_ringbuf_reserve(&ring, 8, 0);
	if (!e) return 1;
	*e = 1;
	if (PICK(1, 0)) bpf_ringbuf_submit(e, 0); else bpf_ringbuf_discard(e, 0);
	return 2;
}

SEC("xdp") int reserved_bytes(struct xdp_md *ctx)
{
	__u64 *e = bpf_ringbuf_reserve(&ring, 16, 0);
	if (!e) return 1;
	e[0] = 1;
	e[1] = PICK(2, 3);
	bpf_ringbuf_submit(e, 0);
	return 2;
}

SEC("xdp") int output_order(struct xdp_md *ctx)
{
	__u64 a = 1, b = 2;
	bpf_ringbuf_output(&ring, PICK(&a, &b), 8, 0);
	bpf_ringbuf_output(&ring, PICK(&b, &a), 8, 0);
	return 2;
}

SEC("xdp") int perf_size(struct xdp_md *ctx)
{
	__u64 e[2] = { 1, 0 };
	bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, e, PICK(8, 16));
	return 2;
}

SEC("xdp") int perf_flags(struct xdp_md *ctx)
{
	__u64 e = 1;
	bpf_perf_event_output(ctx, &perf, PICK(BPF_F_CURRENT_CPU, 0), &e, 8);
	return 2;
}

SEC("xdp") int tail_index(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &progs, PICK(0, 1));
	return 2;
}

// What a program did before its tail call is seen by the one that it calls.
SEC("xdp") int state_at_tail_call(struct xdp_md *ctx)
{
	x = PICK(1, 2);
	bpf_tail_call(ctx, &progs, 0);
	x = 3;
	return 2;
}

SEC("xdp") int redirect_fallback(struct xdp_md *ctx)
{
	return bpf_redirect_map(&ports, ctx->rx_queue_index, PICK(XDP_PASS, XDP_DROP));
}

SEC("xdp") int redirect_port(struct xdp_md *ctx)
{
	return bpf_redirect(PICK(1, 2), 0);
}

SEC("xdp") int pushed(struct xdp_md *ctx)
{
	__u32 v = 1;
	if (PICK(1, 0)) bpf_map_push_elem(&queue, &v, 0); else bpf_map_push_elem(&stack, &v, 0);
	return 2;
}

SEC("xdp") int popped_or_peeked(struct xdp_md *ctx)
{
	__u32 v = 0;
	if (PICK(1, 0)) bpf_map_pop_elem(&queue, &v); else bpf_map_peek_elem(&queue, &v);
	return v == 5 ? 1 : 2;
}

SEC("xdp") int draws(struct xdp_md *ctx)
{
	__u32 a = bpf_get_prandom_u32();
	if (OTHER && a < 10) a = bpf_get_prandom_u32();
	return a & 1 ? 1 : 2;
}

SEC("xdp") int clock_read_twice(struct xdp_md *ctx)
{
	__u64 a = bpf_ktime_get_ns(), b = OTHER ? a : bpf_ktime_get_ns();
	x = b - a;
	return 2;
}

char _license[] SEC("license") = "GPL";
