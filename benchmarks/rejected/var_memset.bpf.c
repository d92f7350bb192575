/* Clears the rest of a buffer after a string. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define NAME 32
struct rec { char name[NAME]; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } rb SEC(".maps");
struct sys_enter_args { __u64 pad; long id; unsigned long args[6]; };

SEC("tp/syscalls/sys_enter_mkdir")
int on_mkdir(struct sys_enter_args *ctx)
{
	struct rec *r = bpf_ringbuf_reserve(&rb, sizeof(*r), 0);
	long n;

	if (!r)
		return 0;
	n = bpf_probe_read_user_str(r->name, NAME, (void *)ctx->args[0]);
	if (n < 0) // <-
		n = 0;
#ifdef FIXED
	for (int i = 0; i < NAME; i++)
		if (i >= n)
			r->name[i] = 0;
#else
	r->name[n] = 0; // <-
#endif
	bpf_ringbuf_submit(r, 0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: memory-bounds
