#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("tc")
int change_proto(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(0x88a8))
#ifdef FIXED
		skb->mark = 0x8100;
#else
		skb->protocol = bpf_htons(0x8100); // <-
#endif
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: context-write
