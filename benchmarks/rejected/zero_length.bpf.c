/* Copies a UDP payload whose length the header tells. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

char payload[256];

SEC("tc")
int copy(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct udphdr *udp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	if ((void *)(udp + 1) > end)
		return TC_ACT_OK;
	__u32 len = bpf_ntohs(udp->len);
#ifdef FIXED
	if (len == 0)
		return TC_ACT_OK;
	asm volatile("" : "+r"(len));
	if (len > sizeof(payload))
#else
	if (len > sizeof(payload)) // <-
#endif
		return TC_ACT_OK;
	bpf_skb_load_bytes(skb, 42, payload, len); // <-
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: helper-size-zero
