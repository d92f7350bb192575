/* A load balancer's table in a global array. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define TABLE 512

__u32 backends[TABLE];
__u32 count = TABLE;

SEC("tc")
int balance(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > end)
		return TC_ACT_OK;
	__u32 h = ip->saddr * 2654435761u;
#ifdef FIXED
	__u32 slot = h % count;
	skb->mark = backends[slot & (TABLE - 1)];
#else
	__u32 slot = h % count; // <-
	skb->mark = backends[slot]; // <-
#endif
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-unbounded, map-value-index
