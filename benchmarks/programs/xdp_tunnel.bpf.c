#include "net.h"
struct vxlanhdr { __be32 flags, vni; };
struct gtp { __u8 flags, type; __be16 length; __be32 teid; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u32); __uint(max_entries, 128); } vnis SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 128); } sessions SEC(".maps");

SEC("xdp") int xdp_vxlan_decap(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct vxlanhdr *vx = (void *)(udp + 1);
	if ((void *)(vx + 1) > END(ctx))
		return XDP_PASS;
	if (eth->h_proto != bswap16(ETH_P_IP) || ip->ihl != 5 || ip->protocol != IPPROTO_UDP || udp->dest != bswap16(4789))
		return XDP_PASS;
	if (vx->flags != bswap32(0x08000000))
		return XDP_DROP;
	__u32 vni = bswap32(vx->vni) >> 8;
	__u32 *allowed = bpf_map_lookup_elem(&vnis, &vni);
	if (!allowed)
		return XDP_DROP;
	if (bpf_xdp_adjust_head(ctx, sizeof *eth + sizeof *ip + sizeof *udp + sizeof *vx))
		return XDP_ABORTED;
	return *allowed == 1 ? XDP_PASS : XDP_TX;
}

SEC("xdp") int xdp_gtp_count(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct gtp *gtp = (void *)(udp + 1);
	if ((void *)(gtp + 1) > END(ctx))
		return XDP_PASS;
	if (eth->h_proto != bswap16(ETH_P_IP) || ip->ihl != 5 || ip->protocol != IPPROTO_UDP || udp->dest != bswap16(2152))
		return XDP_PASS;
	if ((gtp->flags >> 5) != 1 || gtp->type != 255)
		return XDP_PASS;
	__u32 teid = bswap32(gtp->teid);
	__u64 *bytes = bpf_map_lookup_elem(&sessions, &teid);
	if (!bytes)
		return XDP_DROP;
	__sync_fetch_and_add(bytes, bswap16(gtp->length));
	return XDP_PASS;
}

SEC("xdp") int xdp_gre_encap(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > END(ctx) || eth->h_proto != bswap16(ETH_P_IP))
		return XDP_PASS;
	struct ethhdr old = *eth;
	struct iphdr outer = *ip;
	outer.protocol = IPPROTO_GRE;
	outer.ihl = 5;
	outer.ttl = 64;
	outer.tot_len = bswap16(bswap16(ip->tot_len) + 24);
	outer.daddr = 0x0200a8c0;
	outer.check = 0;
	__u32 sum = 0;
	__u16 *words = (void *)&outer;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	outer.check = csum_fold(sum);
	if (bpf_xdp_adjust_head(ctx, -24))
		return XDP_DROP;
	void *data = START(ctx);
	if (data + sizeof old + sizeof outer + 4 > END(ctx))
		return XDP_DROP;
	*(struct ethhdr *)data = old;
	*(struct iphdr *)(data + sizeof old) = outer;
	*(__be32 *)(data + sizeof old + sizeof outer) = bswap32(0x0800);
	return XDP_TX;
}

SEC("xdp") int xdp_trim(struct xdp_md *ctx)
{
	struct ethhdr *eth = START(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > END(ctx) || eth->h_proto != bswap16(ETH_P_IP))
		return XDP_PASS;
	long excess = (END(ctx) - START(ctx)) - (long)sizeof *eth - bswap16(ip->tot_len);
	if (excess <= 0 || excess > 64)
		return XDP_PASS;
	return bpf_xdp_adjust_tail(ctx, -excess) ? XDP_DROP : XDP_PASS;
}
