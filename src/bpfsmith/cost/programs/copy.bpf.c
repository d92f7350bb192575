/* One kilobyte from the packet into a map, in the ways there are. */
#include "walk.h"

#define KFUNC extern __attribute__((section(".ksyms")))
#define BYTES 1024
#define TURNS 32

KFUNC int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr);
KFUNC int bpf_dynptr_copy(struct bpf_dynptr *to, __u64 to_offset, struct bpf_dynptr *from, __u64 from_offset, __u64 bytes);

__u8 target[BYTES] __attribute__((aligned(8)));
__u8 source[BYTES] __attribute__((aligned(8)));

#define COPIES(name, body)                                           \
	SEC("xdp") int name(struct xdp_md *ctx)                      \
	{                                                            \
		__u64 started = bpf_ktime_get_ns();                  \
		_Pragma("clang loop unroll(disable)")                \
		for (__u32 turn = 0; turn < TURNS; turn++) {         \
			body;                                        \
			barrier();                                   \
		}                                                    \
		return bpf_ktime_get_ns() - started;                 \
	}

#define LOOP(type)                                                   \
	__u8 *packet = (void *)(long)ctx->data;                      \
	if (packet + BYTES > (__u8 *)(long)ctx->data_end)            \
		return 0;                                            \
	_Pragma("clang loop unroll(disable) vectorize(disable)")     \
	for (__u32 i = 0; i < BYTES / sizeof(type); i++)             \
		*(volatile type *)(target + i * sizeof(type)) = *(type *)(packet + i * sizeof(type))

COPIES(loop_floor, )
COPIES(loop_u64, LOOP(__u64))
COPIES(loop_u8, LOOP(__u8))
COPIES(helper, bpf_xdp_load_bytes(ctx, 0, target, BYTES))
COPIES(probe_read, bpf_probe_read_kernel(target, BYTES, source))

SEC("xdp") int kfunc(struct xdp_md *ctx)
{
	struct bpf_dynptr from, to;
	if (bpf_dynptr_from_mem(target, BYTES, 0, &to))
		return 0;
	if (bpf_dynptr_from_xdp(ctx, 0, &from))
		return 0;
	__u64 started = bpf_ktime_get_ns();
#pragma clang loop unroll(disable)
	for (__u32 turn = 0; turn < TURNS; turn++)
		bpf_dynptr_copy(&to, 0, &from, 0, BYTES);
	return bpf_ktime_get_ns() - started;
}
