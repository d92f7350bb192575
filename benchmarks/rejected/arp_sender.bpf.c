/* Remembers who asked last. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_arp.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct arp_ip { struct arphdr head; __u8 sha[6]; __u8 spa[4]; __u8 tha[6]; __u8 tpa[4]; } __attribute__((packed));
__u8 last[4];

SEC("tc")
int asked(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct arp_ip *arp = data + sizeof(*eth);
#ifdef FIXED
	if ((void *)(arp + 1) > data_end)
#else
	if ((void *)arp + sizeof(struct arphdr) > data_end) // <-
#endif
		return TC_ACT_OK;
	if (eth->h_proto != bpf_htons(ETH_P_ARP))
		return TC_ACT_OK;
	__builtin_memcpy(last, arp->spa, 4); // <-
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small
