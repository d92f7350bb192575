#include <bpfsmith/helpers.h>

SEC("xdp") int who(struct xdp_md *ctx)
{
#ifdef FIXED
	return XDP_PASS;
#else
	return bpf_get_current_uid_gid() ? bpf_skb_vlan_pop(ctx) : XDP_PASS; // <-
#endif
}
char _license[] SEC("license") = "GPL";
