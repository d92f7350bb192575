/* Counts SYNs; what is behind IP was forgotten. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

__u64 syns;

SEC("tc")
int count(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct tcphdr *tcp = data + sizeof(*eth) + sizeof(*ip);

#ifdef FIXED
	if (data + sizeof(*eth) + sizeof(*ip) + sizeof(*tcp) > data_end)
#else
	if (data + sizeof(*eth) + sizeof(*ip) > data_end) // <-
#endif
		return TC_ACT_OK;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_TCP)
		return TC_ACT_OK;
	if (tcp->syn && !tcp->ack) // <-
		syns++;
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small
