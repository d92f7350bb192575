#include <bpfsmith/helpers.h>

SEC("cgroup_skb/egress") long allow(struct __sk_buff *ctx)
{
#ifdef FIXED
	return 1;
#else
	return (long)ctx; // <-
#endif
}
char _license[] SEC("license") = "GPL";
