/* Is there a listener for this packet? */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("tc")
int has_listener(struct __sk_buff *skb)
{
	void *data_end = (void *)(long)skb->data_end;
	void *data = (void *)(long)skb->data;
	struct iphdr *iph = data + ETH_HLEN;
	struct tcphdr *th = data + ETH_HLEN + sizeof(*iph);
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;

	if (data + ETH_HLEN + sizeof(*iph) + sizeof(*th) > data_end)
		return TC_ACT_OK;
	if (skb->protocol != bpf_htons(ETH_P_IP) || iph->protocol != IPPROTO_TCP)
		return TC_ACT_OK;

	tuple.ipv4.saddr = iph->saddr;
	tuple.ipv4.daddr = iph->daddr;
	tuple.ipv4.sport = th->source;
	tuple.ipv4.dport = th->dest;
	sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return TC_ACT_SHOT;
	if (sk->state != BPF_TCP_LISTEN) { // <-
#ifdef FIXED
		bpf_sk_release(sk);
#endif
		return TC_ACT_OK; // <-
	}
	bpf_sk_release(sk);
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: reference-leak
