/* Looks for a word in the first bytes. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int scan(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct tcphdr *tcp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	if ((void *)(tcp + 1) > data_end)
		return TC_ACT_OK;
	char *payload = (char *)tcp + tcp->doff * 4;
#ifdef FIXED
	if ((void *)(payload + 4) > data_end)
#else
	if ((void *)payload > data_end) // <-
#endif
		return TC_ACT_OK;
	if (payload[0] == 'P' && payload[1] == 'O' && payload[2] == 'S' && payload[3] == 'T') // <-
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small, packet-check-elsewhere, packet-unchecked
