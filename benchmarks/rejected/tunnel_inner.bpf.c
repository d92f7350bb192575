/* The inner header of an IPIP packet, behind options. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int inner(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	struct iphdr *outer = data + sizeof(struct ethhdr);

	if ((void *)(outer + 1) > data_end)
		return TC_ACT_OK;
	if (outer->protocol != 4)
		return TC_ACT_OK;
	struct iphdr *in = (void *)outer + outer->ihl * 4;
#ifdef FIXED
	if ((void *)(in + 1) > data_end)
		return TC_ACT_OK;
#endif
	skb->mark = in->saddr; // <-
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-elsewhere, packet-unchecked
