#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

struct config { __u8 mac[6]; __u16 flags; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct config); } cfg SEC(".maps");

SEC("xdp")
int set_mac(struct xdp_md *ctx)
{
	__u32 k = 0;
	struct config *c = bpf_map_lookup_elem(&cfg, &k);
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if (!c)
		return XDP_PASS;
#ifdef FIXED
	if ((void *)(eth + 1) > data_end)
#else
	if (data > data_end) // <-
#endif
		return XDP_PASS;
	__builtin_memcpy(eth->h_source, c->mac, 6); // <-
	return XDP_TX;
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked, packet-check-too-small
