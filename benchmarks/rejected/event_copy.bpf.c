#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event { __u64 ts; __u32 len; char data[64]; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 16); } rb SEC(".maps");
struct sys_enter_args { __u64 pad; long id; unsigned long args[6]; };

SEC("tp/syscalls/sys_enter_write")
int on_write(struct sys_enter_args *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);
	__u64 n = ctx->args[2];
	if (!e)
		return 0;
	e->ts = bpf_ktime_get_ns();
	e->len = n;
#ifdef FIXED
	if (n > sizeof(e->data))
		n = sizeof(e->data);
#endif
	bpf_probe_read_user(e->data, n, (void *)ctx->args[1]); // <-
	bpf_ringbuf_submit(e, 0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: helper-size-unbounded, memory-bounds, helper-size-negative
