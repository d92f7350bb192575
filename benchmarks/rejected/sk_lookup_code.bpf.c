/* Refuses what does not come to our port range, with the wrong constant. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("sk_lookup")
int ports(struct bpf_sk_lookup *ctx)
{
	if (ctx->local_port < 7000 || ctx->local_port > 7010)
		return SK_PASS;
#ifdef FIXED
	return SK_DROP;
#else
	return TC_ACT_SHOT; // <-
#endif
}
char _license[] SEC("license") = "GPL";
// cause: return-range
