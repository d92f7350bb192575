/* Ends a string by hand. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char path[128];
struct args { __u64 common; __u64 nr; const char *name; };

SEC("tp/syscalls/sys_enter_mkdir")
int on_mkdir(struct args *ctx)
{
	long n = bpf_probe_read_user_str(path, sizeof(path), ctx->name); // <-
#ifdef FIXED
	if (n < 0 || n >= sizeof(path))
		return 0;
#endif
	path[n] = '/'; // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-negative, map-value-unbounded, map-value-index
