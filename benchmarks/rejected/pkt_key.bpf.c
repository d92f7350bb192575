/* Ports that are blocked, looked up where they lie. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u16);
	__type(value, __u8);
} blocked SEC(".maps");

SEC("xdp")
int block(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
	struct tcphdr *tcp = (void *)(ip + 1);
#ifdef FIXED
	if ((void *)(tcp + 1) > data_end)
		return XDP_PASS;
#endif
	return bpf_map_lookup_elem(&blocked, &tcp->dest) ? XDP_DROP : XDP_PASS; // <-
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small, packet-unchecked
