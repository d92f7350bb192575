// Each program is compiled with OTHER 0 and 1, which differ in what a helper is given, or in when it is called: no pair is equal.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpfsmith/helpers.h>
#ifndef OTHER
#define OTHER 0
#endif
#define PICK(a, b) (OTHER ? (b) : (a))
struct prefix { __u32 length; __u32 address; };
struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 4); };
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __type(key, struct prefix); __type(value, __u32); __uint(max_entries, 16); __uint(map_flags, BPF_F_NO_PREALLOC); } trie SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __type(key, __u32); __uint(max_entries, 4); __array(values, struct inner); } outer SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 64); } seen SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(key_size, 4); __uint(value_size, 1016); __uint(max_entries, 64); } stacks SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, __u64); } storage SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } perf SEC(".maps");
__u64 x, y;
struct walk { __u64 sum, step; };
static long add(__u64 index, struct walk *walk) { walk->sum += index * walk->step; return 0; }
static long add_until(__u64 index, struct walk *walk) { walk->sum += index; return walk->sum > PICK(5, 6) + 0 * walk->step; }
static __noinline __u64 mixed(__u64 a, __u64 b) { return a * 3 + b * PICK(5, 7); }
static __noinline void set(__u64 *at, __u64 v) { *at = v; }

SEC("xdp") int prefix_length(struct xdp_md *ctx)
{
	struct prefix key = { PICK(32, 24), ctx->rx_queue_index };
	__u32 *v = bpf_map_lookup_elem(&trie, &key);
	return v ? 1 : 2;
}

SEC("xdp") int inner_map(struct xdp_md *ctx)
{
	__u32 key = PICK(0, 1), zero = 0;
	void *map = bpf_map_lookup_elem(&outer, &key);
	if (!map) return 2;
	__u64 *v = bpf_map_lookup_elem(map, &zero);
	if (v) *v = 1;
	return 2;
}

// Two elements of the outer map may be the same inner map.
SEC("xdp") int inner_alias(struct xdp_md *ctx)
{
	__u32 one = 1, zero = 0;
	void *a = bpf_map_lookup_elem(&outer, &zero), *b = bpf_map_lookup_elem(&outer, &one);
	if (!a || !b) return 2;
	__u64 *v = bpf_map_lookup_elem(a, &zero), *w = bpf_map_lookup_elem(b, &zero);
	if (!v || !w) return 2;
	if (PICK(1, 0)) { *v = 1; x = *w; } else { x = *w; *v = 1; }
	return 2;
}

SEC("xdp") int loop_count(struct xdp_md *ctx)
{
	struct walk walk = { 0, x };
	bpf_loop(PICK(4, 5), add, &walk, 0);
	y = walk.sum;
	return 2;
}

SEC("xdp") int loop_left_early(struct xdp_md *ctx)
{
	struct walk walk = { x & 1, 0 };
	y = bpf_loop(8, add_until, &walk, 0);
	return 2;
}

SEC("xdp") int in_a_function(struct xdp_md *ctx) { y = mixed(x, y); return 2; }

SEC("xdp") int through_a_pointer(struct xdp_md *ctx)
{
	__u64 local[2] = { 1, 2 };
	set(&local[PICK(0, 1)], x);
	y = local[0] * 100 + local[1];
	return 2;
}

SEC("xdp") int routed(struct xdp_md *ctx)
{
	struct bpf_fib_lookup fib = { .family = 2, .ipv4_src = PICK(1, 2), .ifindex = 1 };
	return bpf_fib_lookup(ctx, &fib, sizeof fib, 0) == 0 ? 1 : 2;
}

SEC("xdp") int routed_flags(struct xdp_md *ctx)
{
	struct bpf_fib_lookup fib = { .family = 2, .ifindex = 1 };
	return bpf_fib_lookup(ctx, &fib, sizeof fib, PICK(0, BPF_FIB_LOOKUP_DIRECT)) == 0 ? 1 : 2;
}

SEC("xdp") int hop_used(struct xdp_md *ctx)
{
	struct bpf_fib_lookup fib = { .family = 2, .ifindex = 1 };
	if (bpf_fib_lookup(ctx, &fib, sizeof fib, 0)) return 2;
	x = PICK(fib.dmac[0], fib.smac[0]);
	return 2;
}

SEC("xdp") int summed(struct xdp_md *ctx)
{
	__u32 words[2] = { x, y };
	y = (__u16)bpf_csum_diff(0, 0, words, PICK(4, 8), 0);
	return 2;
}

SEC("tc") int l3_sum(struct __sk_buff *skb) { bpf_l3_csum_replace(skb, 24, 1, 2, PICK(2, 4)); return 0; }
SEC("tc") int l4_sum(struct __sk_buff *skb) { bpf_l4_csum_replace(skb, 36, 1, PICK(2, 3), 2); return 0; }
SEC("tc") int l4_pseudo(struct __sk_buff *skb) { bpf_l4_csum_replace(skb, 36, 1, 2, PICK(4, BPF_F_PSEUDO_HDR | 4)); return 0; }
SEC("tc") int tail_changed(struct __sk_buff *skb) { bpf_skb_change_tail(skb, PICK(64, 65), 0); return 0; }
SEC("tc") int room_adjusted(struct __sk_buff *skb) { bpf_skb_adjust_room(skb, 8, BPF_ADJ_ROOM_MAC, PICK(0, BPF_F_ADJ_ROOM_FIXED_GSO)); return 0; }
SEC("tc") int cloned(struct __sk_buff *skb) { bpf_clone_redirect(skb, PICK(1, 2), 0); return 0; }
SEC("tc") int cloned_before(struct __sk_buff *skb)
{
	__u32 v = 1;
	if (PICK(1, 0)) { bpf_clone_redirect(skb, 1, 0); bpf_skb_store_bytes(skb, 20, &v, 4, 0); }
	else { bpf_skb_store_bytes(skb, 20, &v, 4, 0); bpf_clone_redirect(skb, 1, 0); }
	return 0;
}
SEC("tc") int marked_before_redirect(struct __sk_buff *skb)
{
	if (PICK(1, 0)) { skb->mark = 1; bpf_clone_redirect(skb, 1, 0); } else { bpf_clone_redirect(skb, 1, 0); skb->mark = 1; }
	return 0;
}
SEC("tc") int tunnel_id(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = { .tunnel_id = PICK(1, 2) };
	return bpf_skb_set_tunnel_key(skb, &key, sizeof key, 0) ? TC_ACT_SHOT : TC_ACT_OK;
}
SEC("tc") int stored_in_socket(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk) return 0;
	sk = (void *)bpf_sk_fullsock(sk);
	if (!sk) return 0;
	__u64 *v = bpf_sk_storage_get(&storage, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (v) *v += PICK(1, 2);
	return 0;
}

SEC("raw_tp/sys_enter") int traced(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 key = bpf_get_current_pid_tgid() >> PICK(32, 0);
	__u64 one = 1;
	bpf_map_update_elem(&seen, &key, &one, BPF_ANY);
	return 0;
}

SEC("raw_tp/sys_enter") int argument(struct bpf_raw_tracepoint_args *ctx) { x = ctx->args[PICK(0, 1)]; return 0; }

SEC("raw_tp/sys_enter") int read_from(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 v = 0;
	bpf_probe_read_kernel(&v, 8, (void *)ctx->args[0] + PICK(8, 16));
	x = v;
	return 0;
}

SEC("raw_tp/sys_enter") int failed_read(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 v = PICK(1, 2);
	if (bpf_probe_read_kernel(&v, 8, (void *)ctx->args[0]) < 0) x = PICK(0, v); else x = v;
	return 0;
}

SEC("raw_tp/sys_enter") int text_length(struct bpf_raw_tracepoint_args *ctx)
{
	char text[16] = {};
	long n = bpf_probe_read_kernel_str(text, PICK(16, 8), (void *)ctx->args[1]);
	x = n;
	y = text[0];
	return 0;
}

SEC("raw_tp/sys_enter") int comm_or_not(struct bpf_raw_tracepoint_args *ctx)
{
	char event[16] = {};
	if (PICK(1, 0)) bpf_get_current_comm(event, 16);
	bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, event, 16);
	return 0;
}

SEC("raw_tp/sys_enter") int stack_of(struct bpf_raw_tracepoint_args *ctx) { x = bpf_get_stackid(ctx, &stacks, PICK(0, BPF_F_USER_STACK)); return 0; }

SEC("raw_tp/sys_enter") int signalled(struct bpf_raw_tracepoint_args *ctx) { bpf_send_signal(PICK(9, 15)); return 0; }

SEC("raw_tp/sys_enter") int printed(struct bpf_raw_tracepoint_args *ctx)
{
	static const char format[] = "%d %d";
	bpf_trace_printk(format, sizeof format, PICK(x, y), x);
	return 0;
}

SEC("sockops") int flags_set(struct bpf_sock_ops *ops) { bpf_sock_ops_cb_flags_set(ops, PICK(1, 2)); return 1; }
SEC("sockops") int option_set(struct bpf_sock_ops *ops)
{
	int v = PICK(100, 200);
	bpf_setsockopt(ops, 1, 7, &v, sizeof v);
	return 1;
}

char _license[] SEC("license") = "GPL";
