#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } rb SEC(".maps");

static long (*reserve_dynptr)(void *ringbuf, __u32 size, __u64 flags, void *ptr) = (void *)198;
static void (*submit_dynptr)(void *ptr, __u64 flags) = (void *)199;
static void (*discard_dynptr)(void *ptr, __u64 flags) = (void *)200;
static long (*dynptr_write)(void *dst, __u32 offset, void *src, __u32 len, __u64 flags) = (void *)202;

SEC("tp/syscalls/sys_enter_nanosleep")
int sleeper(void *ctx)
{
	struct { __u64 a, b; } __attribute__((aligned(8))) ptr;
	__u64 ts = bpf_ktime_get_ns();

	if (reserve_dynptr(&rb, 64, 0, &ptr)) { // <-
#ifdef FIXED
		discard_dynptr(&ptr, 0);
#endif
		return 0; // <-
	}
	dynptr_write(&ptr, 0, &ts, sizeof(ts), 0);
	submit_dynptr(&ptr, 0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: reference-leak
