/* A small state machine in skb->cb, slot by traffic class. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int mark(struct __sk_buff *skb)
{
	__u32 class = skb->tc_classid & 3;
#ifdef FIXED
	volatile __u32 all[4];
	all[0] = skb->cb[0];
	all[1] = skb->cb[1];
	all[2] = skb->cb[2];
	all[3] = skb->cb[3];
	skb->mark = all[class];
#else
	skb->mark = skb->cb[class]; // <-
#endif
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: context-variable, context-modified
