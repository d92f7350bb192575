/* A socket filter that reads packets as tc programs do. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("socket")
int ip_only(struct __sk_buff *skb)
{
#ifdef FIXED
	__u16 proto;
	if (bpf_skb_load_bytes(skb, 12, &proto, 2))
		return 0;
	return proto == bpf_htons(ETH_P_IP) ? skb->len : 0;
#else
	void *data = (void *)(long)skb->data; // <-
	void *data_end = (void *)(long)skb->data_end; // <-
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > data_end)
		return 0;
	return eth->h_proto == bpf_htons(ETH_P_IP) ? skb->len : 0;
#endif
}
char _license[] SEC("license") = "GPL";
// cause: context-access
