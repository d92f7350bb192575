/* Where is it going? An XDP program at the way in cannot know. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 to_seven;

SEC("xdp")
int count(struct xdp_md *ctx)
{
#ifdef FIXED
	if (ctx->ingress_ifindex == 7)
#else
	if (ctx->egress_ifindex == 7) // <-
#endif
		to_seven++;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: context-access
