#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } rb SEC(".maps");


SEC("tp/syscalls/sys_enter_nanosleep")
int sleeper(void *ctx)
{
	struct bpf_dynptr ptr;
	__u64 ts = bpf_ktime_get_ns();

	if (bpf_ringbuf_reserve_dynptr(&rb, 64, 0, &ptr)) { // <-
#ifdef FIXED
		bpf_ringbuf_discard_dynptr(&ptr, 0);
#endif
		return 0; // <-
	}
	bpf_dynptr_write(&ptr, 0, &ts, sizeof(ts), 0);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: reference-leak
