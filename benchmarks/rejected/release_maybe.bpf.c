/* Releases what may not be there. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("tc")
int known(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	int verdict = TC_ACT_SHOT;
	t.ipv4.daddr = bpf_htonl(0x0a000001);
	t.ipv4.dport = bpf_htons(53);
	struct bpf_sock *sk = bpf_sk_lookup_udp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (sk)
		verdict = TC_ACT_OK;
#ifdef FIXED
	if (sk)
#endif
	bpf_sk_release(sk); // <-
	return verdict;
}
char _license[] SEC("license") = "GPL";
// cause: null-argument
