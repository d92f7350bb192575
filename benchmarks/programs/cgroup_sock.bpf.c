#include "net.h"
struct usage { __u64 packets, bytes, refused; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u64); __type(value, struct usage); __uint(max_entries, 256); } usage SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 4); } totals SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SOCKHASH); __type(key, struct flow); __type(value, __u64); __uint(max_entries, 64); } sockets SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __type(key, __u32); __type(value, __u64); __uint(max_entries, 64); } peers SEC(".maps");
struct endpoint { __be32 address; __be16 port, pad; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, struct endpoint); __type(value, struct endpoint); __uint(max_entries, 64); } services SEC(".maps");
struct rtt { __u64 count, sum; __u32 least, most; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __be32); __type(value, struct rtt); __uint(max_entries, 256); } rtts SEC(".maps");

SEC("cgroup_skb/egress") int account(struct __sk_buff *skb)
{
	__u64 id = bpf_skb_cgroup_id(skb);
	struct usage *used = bpf_map_lookup_elem(&usage, &id);
	if (!used) {
		struct usage fresh = { 1, skb->len, 0 };
		bpf_map_update_elem(&usage, &id, &fresh, BPF_ANY);
		return 1;
	}
	if (used->bytes > 1 << 30) {
		__sync_fetch_and_add(&used->refused, 1);
		return 0;
	}
	__sync_fetch_and_add(&used->packets, 1);
	__sync_fetch_and_add(&used->bytes, skb->len);
	return 1;
}

SEC("cgroup_skb/ingress") int only_https(struct __sk_buff *skb)
{
	void *data = START(skb), *end = END(skb);
	struct iphdr *ip = data;
	if (skb->family != 2 || (void *)(ip + 1) > end)
		return 1;
	if (ip->protocol != IPPROTO_TCP)
		return ip->protocol == IPPROTO_UDP;
	struct tcphdr *tcp = data + ip->ihl * 4;
	if ((void *)(tcp + 1) > end)
		return 0;
	return tcp->dest == bswap16(443) || tcp->source == bswap16(443);
}

SEC("socket") int socket_sizes(struct __sk_buff *skb)
{
	__u32 slot = skb->len > 1024 ? 2 : skb->len > 256 ? 1 : 0;
	__u64 *count = bpf_map_lookup_elem(&totals, &slot);
	if (count)
		*count += 1;
	__u8 proto = 0;
	if (bpf_skb_load_bytes(skb, 23, &proto, 1) < 0)
		return 0;
	return proto == IPPROTO_UDP ? skb->len : 64;
}

SEC("sk_skb/stream_parser") int frame(struct __sk_buff *skb)
{
	__u8 head[4];
	if (bpf_skb_load_bytes(skb, 0, head, 4) < 0)
		return 0;
	__u32 length = head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];
	if (length > 65535)
		return skb->len;
	return length + 4;
}

SEC("sk_skb/stream_verdict") int route_stream(struct __sk_buff *skb)
{
	__u32 slot = skb->remote_port & 63;
	if (skb->local_port == 8080)
		return bpf_sk_redirect_map(skb, &peers, slot, 0);
	if (skb->local_port == 9090)
		return bpf_sk_redirect_map(skb, &peers, slot, BPF_F_INGRESS);
	return SK_PASS;
}

SEC("sk_msg") int shortcut(struct sk_msg_md *msg)
{
	if (msg->family != 2)
		return SK_PASS;
	struct flow flow = { msg->remote_ip4, msg->local_ip4, msg->remote_port >> 16, bswap16(msg->local_port), 6 };
	__u32 slot = 3;
	__u64 *count = bpf_map_lookup_elem(&totals, &slot);
	if (count)
		*count += msg->size;
	bpf_msg_redirect_hash(msg, &sockets, &flow, BPF_F_INGRESS);
	return SK_PASS;
}

SEC("sk_msg") int redact(struct sk_msg_md *msg)
{
	if (bpf_msg_pull_data(msg, 0, 8, 0))
		return SK_DROP;
	char *data = (void *)(long)msg->data, *end = (void *)(long)msg->data_end;
	if (data + 8 > end)
		return SK_PASS;
	if (data[0] == 'P' && data[1] == 'A' && data[2] == 'S' && data[3] == 'S') {
		data[4] = data[5] = data[6] = data[7] = '*';
		bpf_msg_apply_bytes(msg, 8);
	}
	return SK_PASS;
}

SEC("sockops") int tcp_watch(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB: {
		if (ops->family != 2)
			break;
		struct flow flow = { ops->local_ip4, ops->remote_ip4, bswap16(ops->local_port), ops->remote_port >> 16, 6 };
		bpf_sock_hash_update(ops, &sockets, &flow, BPF_NOEXIST);
		bpf_sock_ops_cb_flags_set(ops, BPF_SOCK_OPS_RTT_CB_FLAG);
		break;
	}
	case BPF_SOCK_OPS_RTT_CB: {
		__be32 peer = ops->remote_ip4;
		__u32 us = ops->srtt_us >> 3;
		struct rtt *rtt = bpf_map_lookup_elem(&rtts, &peer);
		if (!rtt) {
			struct rtt fresh = { 1, us, us, us };
			bpf_map_update_elem(&rtts, &peer, &fresh, BPF_NOEXIST);
			break;
		}
		rtt->count++;
		rtt->sum += us;
		if (us < rtt->least)
			rtt->least = us;
		if (us > rtt->most)
			rtt->most = us;
		break;
	}
	case BPF_SOCK_OPS_RWND_INIT:
		ops->reply = 40;
		return 1;
	default:
		ops->reply = -1;
	}
	return 1;
}

SEC("sockops") int tcp_tune(struct bpf_sock_ops *ops)
{
	int buffers = 1500000, clamp = 100, rv = -1;
	if (ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		rv = bpf_setsockopt(ops, 1, 7, &buffers, sizeof buffers);
		rv += bpf_setsockopt(ops, 1, 8, &buffers, sizeof buffers);
	} else if (ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		rv = bpf_setsockopt(ops, 6, 10, &clamp, sizeof clamp);
	ops->reply = rv;
	return 1;
}

SEC("cgroup/connect4") int to_backend(struct bpf_sock_addr *ctx)
{
	struct endpoint key = { ctx->user_ip4, ctx->user_port };
	struct endpoint *backend = bpf_map_lookup_elem(&services, &key);
	if (backend) {
		ctx->user_ip4 = backend->address;
		ctx->user_port = backend->port;
	}
	return 1;
}

SEC("cgroup/sock_create") int no_raw_sockets(struct bpf_sock *ctx)
{
	return !(ctx->type == 3 && ctx->family == 2 && ctx->protocol != 1);
}
