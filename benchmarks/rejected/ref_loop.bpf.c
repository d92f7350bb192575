/* Tries several ports. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("tc")
int any(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	int found = 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 4; i++) {
		t.ipv4.dport = bpf_htons(8000 + i);
		struct bpf_sock *sk = bpf_sk_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0); // <-
		if (!sk)
			continue;
		if (sk->state == BPF_TCP_LISTEN)
			found++; // <-
#ifdef FIXED
		bpf_sk_release(sk);
#endif
	} // <-
	return found ? TC_ACT_OK : TC_ACT_SHOT;
}
char _license[] SEC("license") = "GPL";
// cause: reference-leak
