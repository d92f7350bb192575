/* Bytes by socket. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} bytes SEC(".maps");

SEC("cgroup_skb/egress")
int account(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
#ifdef FIXED
	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
#endif
	__u64 *n = bpf_sk_storage_get(&bytes, sk, 0, BPF_SK_STORAGE_GET_F_CREATE); // <-
	if (n)
		*n += skb->len;
	return 1;
}
char _license[] SEC("license") = "GPL";
// cause: null-argument, argument-type
