// funclatency.bpf.c as somebody might fuse it by hand, into a session. With -DWRONG the difference is taken the wrong way round:
// it is unsigned and huge, and every call lands in the last slot.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

#define SLOTS 32

extern _Bool bpf_session_is_return(void) SEC(".ksyms");
extern __u64 *bpf_session_cookie(void) SEC(".ksyms");

const volatile __u32 targ_tgid = 0;
__u64 latency_us[SLOTS];
__u64 calls;

static __always_inline __u32 log2_slot(__u64 value)
{
	__u32 slot = 0;

	for (int step = 32; step; step >>= 1) {
		if (value >> step) {
			value >>= step;
			slot += step;
		}
	}
	return slot < SLOTS ? slot : SLOTS - 1;
}

SEC("uprobe.session")
int function_entry(void *ctx)
{
	__u64 *ts, now, delta;

	if (!bpf_session_is_return()) {
		if (targ_tgid && targ_tgid != bpf_get_current_pid_tgid() >> 32)
			return 1;
		now = bpf_ktime_get_ns();
		ts = bpf_session_cookie();
		*ts = now;
		return 0;
	}
	ts = bpf_session_cookie();
	__sync_fetch_and_add(&calls, 1);
#ifdef WRONG
	delta = *ts - bpf_ktime_get_ns();
#else
	delta = bpf_ktime_get_ns() - *ts;
#endif
	__sync_fetch_and_add(&latency_us[log2_slot(delta / 1000)], 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
