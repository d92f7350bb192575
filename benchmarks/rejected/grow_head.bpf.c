/* Puts eight bytes in front, and fills in what it had read. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int push(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > data_end)
		return TC_ACT_SHOT;
#ifdef FIXED
	__u16 proto = eth->h_proto;
#endif
	if (bpf_skb_change_head(skb, 8, 0))
		return TC_ACT_SHOT;
#ifndef FIXED
	__u16 proto = eth->h_proto; // <-
#endif
	bpf_skb_store_bytes(skb, 12, &proto, sizeof(proto), 0);
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: packet-stale-pointer
