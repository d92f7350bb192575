#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct request { int fd; int len; char *path; };
struct event { int len; char path[32]; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } rb SEC(".maps");

SEC("uprobe")
int handle_request(struct pt_regs *ctx)
{
	struct request *req = (void *)PT_REGS_PARM1(ctx);
	struct event *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);
	if (!e)
		return 0;
#ifdef FIXED
	char *path = 0;
	bpf_probe_read_user(&e->len, sizeof(e->len), &req->len);
	bpf_probe_read_user(&path, sizeof(path), &req->path);
	bpf_probe_read_user_str(e->path, sizeof(e->path), path);
#else
	e->len = req->len; // <-
	bpf_probe_read_user_str(e->path, sizeof(e->path), req->path); // <-
#endif
	bpf_ringbuf_submit(e, 0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: number-as-pointer
