/* Only sockets of IPv4. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int v4(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
#ifdef FIXED
	if (!sk)
		return TC_ACT_OK;
#endif
	return sk->family == 2 ? TC_ACT_OK : TC_ACT_SHOT; // <-
}
char _license[] SEC("license") = "GPL";
// cause: null-unchecked
