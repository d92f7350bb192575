/* Lowers the time to live on the way out of a cgroup. */
#include <linux/bpf.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/egress")
int one_hop(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;
	if ((void *)(ip + 1) > end)
		return 1;
#ifdef FIXED
	return ip->ttl <= 1;
#else
	ip->ttl = 1; // <-
	return 1;
#endif
}
char _license[] SEC("license") = "GPL";
// cause: packet-write-forbidden
