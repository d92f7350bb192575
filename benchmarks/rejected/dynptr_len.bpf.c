/* As much of a dynptr as a variable says. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(".maps");

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
	struct bpf_dynptr ptr;
	__u32 len = bpf_get_prandom_u32() & 63;
	if (bpf_ringbuf_reserve_dynptr(&rb, 64, 0, &ptr)) {
		bpf_ringbuf_discard_dynptr(&ptr, 0);
		return 0;
	}
#ifdef FIXED
	char *text = bpf_dynptr_data(&ptr, 0, 64);
#else
	char *text = bpf_dynptr_data(&ptr, 0, len); // <-
#endif
	if (text)
		text[0] = 'x' + len;
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: helper-constant, dynptr
