#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int both(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *a, *b;
	int verdict = TC_ACT_SHOT;

	t.ipv4.dport = 0x5000;
	a = bpf_sk_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!a)
		return verdict;
	t.ipv4.dport = 0xbb01;
	b = bpf_sk_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!b) { // <-
#ifdef FIXED
		bpf_sk_release(a);
#endif
		return verdict; // <-
	}
	if (a->state == b->state)
		verdict = TC_ACT_OK;
	bpf_sk_release(b);
	bpf_sk_release(a);
	return verdict;
}
char _license[] SEC("license") = "GPL";
// cause: reference-leak
