#include <bpfsmith/helpers.h>

SEC("cgroup_skb/egress") int allow(struct __sk_buff *ctx)
{
#ifdef FIXED
	return 1;
#else
	return ctx->len; // <-
#endif
}
char _license[] SEC("license") = "GPL";
