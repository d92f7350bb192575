#include <linux/bpf.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/egress")
int block_multicast(struct __sk_buff *skb)
{
	struct iphdr iph;

	if (bpf_skb_load_bytes(skb, 0, &iph, sizeof(iph)) < 0)
		return 1;
	if ((iph.daddr & 0xf0) == 0xe0)
		return 0;
#ifdef FIXED
	return 1;
#else
	return skb->len; // <-
#endif
}
char _license[] SEC("license") = "GPL";
// cause: return-range
