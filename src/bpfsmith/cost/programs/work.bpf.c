/* Work of growing size, the same as natively in driver.c. */
#include "walk.h"
#include "work.h"

__u8 data[WORK_BYTES] __attribute__((aligned(8)));
volatile __u32 bytes = WORK_BYTES;

#define WORK(name)                                                   \
	SEC("xdp") int name(struct xdp_md *ctx)                      \
	{                                                            \
		__u64 started = bpf_ktime_get_ns();                  \
		__u32 n = bytes;                                     \
		if (n > WORK_BYTES)                                  \
			n = WORK_BYTES;                              \
		result = work_##name(data, n);                       \
		return bpf_ktime_get_ns() - started;                 \
	}

WORK(hash)
WORK(sum)
WORK(count)

SEC("xdp") int loop_floor(struct xdp_md *ctx)
{
	__u64 started = bpf_ktime_get_ns();
	result = bytes;
	return bpf_ktime_get_ns() - started;
}
