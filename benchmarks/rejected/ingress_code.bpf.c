/* Refuses by the number that tc uses. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/ingress")
int small(struct __sk_buff *skb)
{
	if (skb->len > 1400)
#ifdef FIXED
		return 0;
#else
		return TC_ACT_SHOT; // <-
#endif
	return 1;
}
char _license[] SEC("license") = "GPL";
// cause: return-range
