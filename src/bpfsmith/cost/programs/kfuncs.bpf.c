/* One kernel function a turn; a kernel that lacks one refuses its program alone. */
#include "walk.h"

#define KFUNC extern __attribute__((section(".ksyms")))

struct task_struct;

KFUNC void bpf_rcu_read_lock(void);
KFUNC void bpf_rcu_read_unlock(void);
KFUNC int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end);
KFUNC int *bpf_iter_num_next(struct bpf_iter_num *it);
KFUNC void bpf_iter_num_destroy(struct bpf_iter_num *it);
KFUNC int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr);
KFUNC void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u32 offset, void *buffer, __u32 buffer__szk);
KFUNC struct task_struct *bpf_task_acquire(struct task_struct *p);
KFUNC void bpf_task_release(struct task_struct *p);

#define XDP(name, body) SEC("xdp") int name(struct xdp_md *ctx) { return TIMED(body); }
#define TC(name, body) SEC("tc") int name(struct __sk_buff *skb) { return TIMED(body); }

XDP(floor_xdp, sum += i)
TC(floor_tc, sum += i)
TC(rcu_read_lock_unlock, bpf_rcu_read_lock(); bpf_rcu_read_unlock(); sum += i)

SEC("xdp") int iter_num_next(struct xdp_md *ctx)
{
	__u64 sum = 0, started = bpf_ktime_get_ns();
	struct bpf_iter_num it;
	int *value;
	bpf_iter_num_new(&it, 0, STEPS);
	while ((value = bpf_iter_num_next(&it)))
		sum += *value;
	bpf_iter_num_destroy(&it);
	__u64 took = bpf_ktime_get_ns() - started;
	result = sum;
	return took;
}

SEC("xdp") int dynptr_slice(struct xdp_md *ctx)
{
	struct bpf_dynptr packet;
	__u8 buffer[16];
	if (bpf_dynptr_from_xdp(ctx, 0, &packet))
		return 0;
	return TIMED({
		__u8 *header = bpf_dynptr_slice(&packet, 0, buffer, sizeof(buffer));
		if (header)
			sum += header[12];
	});
}

XDP(dynptr_from_xdp, struct bpf_dynptr packet; sum += bpf_dynptr_from_xdp(ctx, 0, &packet))
