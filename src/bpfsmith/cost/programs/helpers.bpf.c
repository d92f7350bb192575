/* One helper, kfunc or atomic instruction a turn. */
#include "walk.h"

struct locked {
	struct bpf_spin_lock lock;
	__u32 padding;
	__u64 value;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locked);
} lock_map SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counter SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

__u64 word = 1;
__u32 half = 1;
__u64 buffer[128];
const char text[16] = "GET / HTTP/1.1";

#define XDP(name, body) SEC("xdp") int name(struct xdp_md *ctx) { return TIMED(body); }
#define TC(name, body) SEC("tc") int name(struct __sk_buff *skb) { return TIMED(body); }
#define TP(name, body) SEC("raw_tp") int name(void *ctx) { return TIMED(body); }

XDP(floor_xdp, sum += i)
TC(floor_tc, sum += i)
TP(floor_raw_tp, sum += i)

XDP(plain_add, *(volatile __u64 *)&word += 1; sum += i)
XDP(atomic_add, __sync_fetch_and_add(&word, 1); sum += i)
XDP(atomic_add32, __sync_fetch_and_add(&half, 1); sum += i)
XDP(atomic_fetch_add, sum += __sync_fetch_and_add(&word, 1))
XDP(atomic_xchg, sum += __sync_lock_test_and_set(&word, i))
XDP(atomic_cmpxchg, sum += __sync_val_compare_and_swap(&word, i, i + 1))
XDP(atomic_fetch_or, sum += __sync_fetch_and_or(&word, i))

XDP(ktime_get_ns, sum += bpf_ktime_get_ns())
XDP(ktime_get_boot_ns, sum += bpf_ktime_get_boot_ns())
XDP(ktime_get_coarse_ns, sum += bpf_ktime_get_coarse_ns())
XDP(jiffies64, sum += bpf_jiffies64())
XDP(get_prandom_u32, sum += bpf_get_prandom_u32())
XDP(get_smp_processor_id, sum += bpf_get_smp_processor_id())
XDP(csum_diff_64, sum += bpf_csum_diff(0, 0, (void *)buffer, 64, i))
XDP(csum_diff_512, sum += bpf_csum_diff(0, 0, (void *)buffer, 512, i))
XDP(xdp_load_bytes_32, sum += bpf_xdp_load_bytes(ctx, 0, buffer, 32))
XDP(xdp_load_bytes_512, sum += bpf_xdp_load_bytes(ctx, 0, buffer, 512))
XDP(xdp_store_bytes_32, sum += bpf_xdp_store_bytes(ctx, 0, buffer, 32))
XDP(xdp_adjust_head, sum += bpf_xdp_adjust_head(ctx, i & 1 ? 8 : -8))
XDP(xdp_adjust_tail, sum += bpf_xdp_adjust_tail(ctx, i & 1 ? 8 : -8))
XDP(xdp_get_buff_len, sum += bpf_xdp_get_buff_len(ctx))
XDP(redirect, sum += bpf_redirect(1, 0))
XDP(probe_read_kernel_8, sum += bpf_probe_read_kernel(buffer, 8, &word))
XDP(strncmp_16, sum += bpf_strncmp((void *)buffer, 16, text))

SEC("xdp") int spin_lock(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct locked *value = bpf_map_lookup_elem(&lock_map, &zero);
	if (!value)
		return 0;
	return TIMED({
		bpf_spin_lock(&value->lock);
		value->value++;
		bpf_spin_unlock(&value->lock);
		sum += i;
	});
}

XDP(ringbuf_output_8, sum += bpf_ringbuf_output(&events, &word, 8, BPF_RB_NO_WAKEUP))
XDP(ringbuf_reserve_discard, void *r = bpf_ringbuf_reserve(&events, 64, 0); if (r) bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP); sum += i)

TC(skb_load_bytes_32, sum += bpf_skb_load_bytes(skb, 0, buffer, 32))
TC(skb_load_bytes_512, sum += bpf_skb_load_bytes(skb, 0, buffer, 512))
TC(skb_store_bytes_32, sum += bpf_skb_store_bytes(skb, 0, buffer, 32, 0))
TC(l3_csum_replace, sum += bpf_l3_csum_replace(skb, 24, i, i + 1, 2))
TC(l4_csum_replace, sum += bpf_l4_csum_replace(skb, 40, i, i + 1, 2))
TC(skb_pull_data, sum += bpf_skb_pull_data(skb, 0))
TC(get_hash_recalc, sum += bpf_get_hash_recalc(skb))

TP(get_current_pid_tgid, sum += bpf_get_current_pid_tgid())
TP(get_current_uid_gid, sum += bpf_get_current_uid_gid())
TP(get_current_comm, sum += bpf_get_current_comm(buffer, 16))
TP(get_current_task, sum += (__u64)bpf_get_current_task())
TP(get_current_cgroup_id, sum += bpf_get_current_cgroup_id())
TP(get_numa_node_id, sum += bpf_get_numa_node_id())

static __noinline int callee(__u64 x)
{
	barrier_var(x);
	return x;
}
XDP(subprogram_call, sum += callee(i))

static long body_of_loop(__u32 index, void *context)
{
	*(__u64 *)context += index;
	return 0;
}
SEC("xdp") int loop_helper(struct xdp_md *ctx)
{
	__u64 sum = 0, started = bpf_ktime_get_ns();
	bpf_loop(STEPS, body_of_loop, &sum, 0);
	__u64 took = bpf_ktime_get_ns() - started;
	result = sum;
	return took;
}
