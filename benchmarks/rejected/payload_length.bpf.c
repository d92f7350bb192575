/* The payload's last byte: total length less header length. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("tc")
int last(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > data_end)
		return TC_ACT_OK;
	int payload = bpf_ntohs(ip->tot_len) - ip->ihl * 4; // <-
#ifdef FIXED
	if (payload < 0 || payload > 1480)
		return TC_ACT_OK;
#endif
	__u8 *p = (__u8 *)(ip + 1) + payload; // <-
	if ((void *)(p + 1) > data_end)
		return TC_ACT_OK;
	skb->mark = *p;
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: packet-offset-unbounded
