#include "net.h"
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(key_size, 4); __uint(value_size, 4); __uint(max_entries, 64); } ports SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(key_size, 4); __uint(value_size, 4); __uint(max_entries, 8); } cpus SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_XSKMAP); __uint(key_size, 4); __uint(value_size, 4); __uint(max_entries, 8); } sockets SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(key_size, 6); __type(value, __u32); __uint(max_entries, 256); } macs SEC(".maps");
COUNTERS(queue_packets, 8);

SEC("xdp") int xdp_router(struct xdp_md *ctx)
{
	void *data = START(ctx), *end = END(ctx);
	struct bpf_fib_lookup fib = {};
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	struct iphdr *ip = (void *)(eth + 1);
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	if (eth->h_proto == bswap16(ETH_P_IP)) {
		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		if (ip->ttl <= 1)
			return XDP_PASS;
		fib.family = 2;
		fib.tos = ip->tos;
		fib.l4_protocol = ip->protocol;
		fib.tot_len = bswap16(ip->tot_len);
		fib.ipv4_src = ip->saddr;
		fib.ipv4_dst = ip->daddr;
	} else if (eth->h_proto == bswap16(ETH_P_IPV6)) {
		if ((void *)(ip6 + 1) > end)
			return XDP_DROP;
		if (ip6->hop_limit <= 1)
			return XDP_PASS;
		fib.family = 10;
		fib.flowinfo = *(__be32 *)ip6 & bswap32(0x0fffffff);
		fib.l4_protocol = ip6->nexthdr;
		fib.tot_len = bswap16(ip6->payload_len);
		__builtin_memcpy(fib.ipv6_src, &ip6->saddr, 16);
		__builtin_memcpy(fib.ipv6_dst, &ip6->daddr, 16);
	} else
		return XDP_PASS;
	fib.ifindex = ctx->ingress_ifindex;
	long result = bpf_fib_lookup(ctx, &fib, sizeof fib, 0);
	switch (result) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		if (eth->h_proto == bswap16(ETH_P_IP)) {
			__u32 sum = ip->check + bswap16(0x0100);
			ip->check = sum + (sum >= 0xffff);
			ip->ttl--;
		} else
			ip6->hop_limit--;
		__builtin_memcpy(eth->h_dest, fib.dmac, 6);
		__builtin_memcpy(eth->h_source, fib.smac, 6);
		return bpf_redirect_map(&ports, fib.ifindex, 0);
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return XDP_DROP;
	default:
		return XDP_PASS;
	}
}

SEC("xdp") int xdp_spread_cpus(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	__u32 cpu = 0;
	if ((void *)(ip + 1) <= END(ctx) && eth->h_proto == bswap16(ETH_P_IP))
		cpu = hash3(ip->saddr, ip->daddr, ip->protocol, 7) % 8;
	__u64 *packets = bpf_map_lookup_elem(&queue_packets, &cpu);
	if (packets)
		*packets += 1;
	return bpf_redirect_map(&cpus, cpu, XDP_PASS);
}

SEC("xdp") int xdp_to_socket(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	if (bpf_map_lookup_elem(&sockets, &queue))
		return bpf_redirect_map(&sockets, queue, 0);
	return XDP_PASS;
}

SEC("xdp") int xdp_bridge(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	if ((void *)(eth + 1) > END(ctx))
		return XDP_ABORTED;
	__u32 in = ctx->ingress_ifindex;
	if (!(eth->h_source[0] & 1))
		bpf_map_update_elem(&macs, eth->h_source, &in, BPF_ANY);
	__u32 *out = bpf_map_lookup_elem(&macs, eth->h_dest);
	if (!out || *out == in)
		return XDP_PASS;
	return bpf_redirect(*out, 0);
}
