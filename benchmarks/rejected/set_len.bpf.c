/* Cuts the packet short, or so the author thought. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int cut(struct __sk_buff *skb)
{
	if (skb->len <= 128)
		return TC_ACT_OK;
#ifdef FIXED
	bpf_skb_change_tail(skb, 128, 0);
#else
	skb->len = 128; // <-
#endif
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: context-write
