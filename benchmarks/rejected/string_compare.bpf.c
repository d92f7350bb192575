/* Searches a word in a user's string, with the index of the outer loop unbounded for the inner one. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define BUF 64
static const char needle[] = "passwd";

struct sys_enter_args { __u64 pad; long id; unsigned long args[6]; };
int matched;

SEC("tracepoint/syscalls/sys_enter_openat")
int scan(struct sys_enter_args *ctx)
{
	char buf[BUF]; // <-
	long n = bpf_probe_read_user_str(buf, sizeof(buf), (void *)ctx->args[1]);

	if (n < 0) // <-
		return 0;
#ifdef FIXED
	if (n > BUF - 13)
		return 0;
#endif
	for (int j = 0; j < 6; j++)
		if (buf[n + 7 + j] != needle[j]) // <-
			return 0;
	matched++;
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: stack-variable-offset, stack-out-of-bounds
