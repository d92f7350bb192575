#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 256); __uint(key_size, 6); __type(value, __u32); } macs SEC(".maps");

SEC("xdp")
int bridge(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	__u32 *port;

#ifdef FIXED
	if ((void *)(eth + 1) > data_end)
		return XDP_DROP;
#endif
	port = bpf_map_lookup_elem(&macs, eth->h_dest); // <-
	if (!port)
		return XDP_PASS;
	return bpf_redirect(*port, 0);
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked
