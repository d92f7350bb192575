#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
#ifdef FIXED
	__uint(type, BPF_MAP_TYPE_DEVMAP);
#else
	__uint(type, BPF_MAP_TYPE_ARRAY); // <-
#endif
	__uint(key_size, sizeof(int));
	__uint(value_size, sizeof(int));
	__uint(max_entries, 64);
} tx_port SEC(".maps");

SEC("xdp")
int xdp_redirect_map_prog(struct xdp_md *ctx)
{
	return bpf_redirect_map(&tx_port, ctx->ingress_ifindex & 63, 0); // <-
}
char _license[] SEC("license") = "GPL";
// cause: map-type
