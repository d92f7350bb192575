#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u32 tgid;
	char comm[16];
	char file[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} rb SEC(".maps");

struct sys_enter_args { __u64 pad; long id; unsigned long args[6]; };

SEC("tp/syscalls/sys_enter_openat")
int sys_enter_openat(struct sys_enter_args *ctx)
{
	struct event *e;
	long n;

	e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);
	if (!e)
		return 0;

	e->tgid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	n = bpf_probe_read_user_str(e->file, sizeof(e->file), (void *)ctx->args[1]);
	if (n <= 0) { // <-
#ifdef FIXED
		bpf_ringbuf_discard(e, 0);
#endif
		return 0; // <-
	}

	bpf_ringbuf_submit(e, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
// cause: reference-leak
