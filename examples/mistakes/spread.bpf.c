// Counts packets by the first hop of a ring of 15 servers.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpfsmith/helpers.h>

#define SERVERS 15
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, SERVERS);
} packets SEC(".maps");

SEC("xdp")
int spread(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > (void *)(long)ctx->data_end || eth->h_proto != __builtin_bswap16(ETH_P_IP))
		return XDP_PASS;
	__u32 index = (ip->saddr ^ ip->daddr) % SERVERS;
	__u64 *count = bpf_map_lookup_elem(&packets, &index);
	if (!count)
		return XDP_DROP;
	__sync_fetch_and_add(count, 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
