#include "net.h"
struct policy { __u32 verdict, mark; __u64 packets, bytes; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, struct flow); __type(value, struct policy); __uint(max_entries, 1024); } policies SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 64); } pace SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u32); __uint(max_entries, 64); } dscp_class SEC(".maps");

SEC("tc") int tc_policy(struct __sk_buff *skb)
{
	void *data = START(skb), *end = END(skb);
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	if (skb->protocol != bswap16(ETH_P_IP) || (void *)(ip + 1) > end)
		return TC_ACT_OK;
	struct flow flow = { ip->saddr, ip->daddr, 0, 0, ip->protocol };
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) {
		__be16 *ports = (void *)ip + ip->ihl * 4;
		if ((void *)(ports + 2) > end)
			return TC_ACT_SHOT;
		flow.sport = ports[0];
		flow.dport = ports[1];
	}
	struct policy *policy = bpf_map_lookup_elem(&policies, &flow);
	if (!policy) {
		flow.saddr = 0;
		flow.sport = 0;
		policy = bpf_map_lookup_elem(&policies, &flow);
	}
	if (!policy)
		return TC_ACT_OK;
	__sync_fetch_and_add(&policy->packets, 1);
	__sync_fetch_and_add(&policy->bytes, skb->len);
	skb->mark = policy->mark;
	return policy->verdict ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc") int tc_dscp(struct __sk_buff *skb)
{
	__u8 tos;
	if (skb->protocol == bswap16(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 15, &tos, 1))
			return TC_ACT_OK;
	} else if (skb->protocol == bswap16(ETH_P_IPV6)) {
		__be16 word;
		if (bpf_skb_load_bytes(skb, 14, &word, 2))
			return TC_ACT_OK;
		tos = bswap16(word) >> 4;
	} else
		return TC_ACT_OK;
	__u32 dscp = tos >> 2;
	__u32 *class = bpf_map_lookup_elem(&dscp_class, &dscp);
	if (class) {
		skb->priority = *class;
		skb->tc_classid = *class << 16 | 1;
		skb->queue_mapping = *class & 7;
	}
	return TC_ACT_PIPE;
}

/* Earliest departure time: a rate a mark. */
SEC("tc") int tc_pace(struct __sk_buff *skb)
{
	__u32 mark = skb->mark;
	__u64 *next = bpf_map_lookup_elem(&pace, &mark);
	if (!next)
		return TC_ACT_OK;
	__u64 now = bpf_ktime_get_ns();
	__u64 delay = (__u64)skb->wire_len * 1000000000 / 12500000;
	__u64 when = skb->tstamp;
	if (when < now)
		when = now;
	__u64 due = *next + delay;
	if (due <= when) {
		*next = when;
		return TC_ACT_OK;
	}
	if (due - now >= 2000000000)
		return TC_ACT_SHOT;
	*next = due;
	skb->tstamp = due;
	return TC_ACT_OK;
}

SEC("tc") int tc_rewrite(struct __sk_buff *skb)
{
	struct iphdr ip;
	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &ip, sizeof ip) < 0)
		return TC_ACT_OK;
	if (ip.version != 4 || ip.protocol != IPPROTO_TCP)
		return TC_ACT_OK;
	__be32 new = bswap32(0xc0a80001);
	int l4 = sizeof(struct ethhdr) + ip.ihl * 4;
	bpf_l4_csum_replace(skb, l4 + 16, ip.daddr, new, BPF_F_PSEUDO_HDR | 4);
	bpf_l3_csum_replace(skb, sizeof(struct ethhdr) + 10, ip.daddr, new, 4);
	bpf_skb_store_bytes(skb, sizeof(struct ethhdr) + 16, &new, 4, 0);
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

SEC("tc") int tc_tunnel(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};
	if (skb->mark == 0xcafe) {
		if (bpf_skb_get_tunnel_key(skb, &key, sizeof key, 0) < 0)
			return TC_ACT_SHOT;
		skb->mark = key.tunnel_id;
		skb->cb[0] = key.remote_ipv4;
		return TC_ACT_OK;
	}
	key.tunnel_id = skb->mark & 0xffffff;
	key.remote_ipv4 = 0xac100164;
	key.tunnel_tos = 0;
	key.tunnel_ttl = 64;
	if (bpf_skb_set_tunnel_key(skb, &key, sizeof key, BPF_F_ZERO_CSUM_TX) < 0)
		return TC_ACT_SHOT;
	return bpf_redirect(7, 0);
}

SEC("tc") int tc_vlan(struct __sk_buff *skb)
{
	if (skb->vlan_present) {
		if ((skb->vlan_tci & 0xfff) == 100)
			return bpf_skb_vlan_pop(skb) ? TC_ACT_SHOT : TC_ACT_OK;
		return TC_ACT_OK;
	}
	__u16 tag = skb->mark ? skb->mark & 0xfff : 1;
	if (bpf_skb_vlan_push(skb, bswap16(ETH_P_8021Q), tag))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

SEC("tcx/ingress") int tcx_mirror(struct __sk_buff *skb)
{
	if (skb->pkt_type != 0 || skb->len < 64)
		return -1;
	bpf_clone_redirect(skb, skb->ifindex + 1, 0);
	if (bpf_skb_pull_data(skb, 34))
		return -1;
	void *data = START(skb), *end = END(skb);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	if ((void *)(ip + 1) > end)
		return -1;
	ip->tos |= 3;
	return 0;
}

SEC("tc") int tc_trim(struct __sk_buff *skb)
{
	__u32 length = skb->len;
	if (length <= 128)
		return TC_ACT_OK;
	if (bpf_skb_change_tail(skb, 128, 0))
		return TC_ACT_SHOT;
	__be16 total = bswap16(114);
	bpf_skb_store_bytes(skb, 16, &total, 2, BPF_F_RECOMPUTE_CSUM);
	return TC_ACT_OK;
}
