/* Is there a listener for this? */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("tc")
int listener(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	t.ipv4.daddr = bpf_htonl(0x0a000001);
	t.ipv4.dport = bpf_htons(80);
	struct bpf_sock *sk = bpf_sk_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
#ifdef FIXED
	if (!sk)
		return TC_ACT_OK;
#endif
	__u32 state = sk->state; // <-
	bpf_sk_release(sk);
	return state == BPF_TCP_LISTEN ? TC_ACT_OK : TC_ACT_SHOT;
}
char _license[] SEC("license") = "GPL";
// cause: null-unchecked
