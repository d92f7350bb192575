/* Watches what is asked of a socket. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup/setsockopt")
int watch(struct bpf_sockopt *ctx)
{
	__u8 *opt = ctx->optval;
	void *end = ctx->optval_end;
	if (ctx->level != 6)
		return 1;
#ifdef FIXED
	if ((void *)(opt + 4) > end)
		return 0;
#endif
	__u32 v = *(__u32 *)opt; // <-
	return v <= 1;
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked
