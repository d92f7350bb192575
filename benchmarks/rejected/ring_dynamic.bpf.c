/* Sends only as much as the name needs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event { __u32 pid; char comm[60]; };
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(".maps");
struct args { __u64 common; __u64 nr; const char *name; };

SEC("tp/syscalls/sys_enter_unlink")
int on_unlink(struct args *ctx)
{
	char name[60];
	long n = bpf_probe_read_user_str(name, sizeof(name), ctx->name);
	if (n <= 0)
		return 0;
#ifdef FIXED
	struct event *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);
#else
	struct event *e = bpf_ringbuf_reserve(&rb, sizeof(__u32) + n, 0); // <-
#endif
	if (!e)
		return 0;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	__builtin_memcpy(e->comm, name, sizeof(e->comm));
	bpf_ringbuf_submit(e, 0);
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: helper-constant
