// Each program is compiled with OTHER 0 and 1, which differ in packets, contexts or bounds: no pair is equal.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpfsmith/helpers.h>
#ifndef OTHER
#define OTHER 0
#endif
#define PICK(a, b) (OTHER ? (b) : (a))
#define BYTES __u8 *p = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end
__u64 out;

SEC("xdp") int bound_by_one(struct xdp_md *ctx)
{
	BYTES;
	if (PICK(p + 20 > end, p + 20 >= end)) return 1;
	return 2;
}

SEC("xdp") int length_seen(struct xdp_md *ctx)
{
	out = ctx->data_end - ctx->data + PICK(0, 1);
	return 2;
}

SEC("xdp") int byte_written(struct xdp_md *ctx)
{
	BYTES;
	if (p + 20 > end) return 1;
	p[PICK(3, 4)] = 7;
	return 2;
}

SEC("xdp") int swapped_or_not(struct xdp_md *ctx)
{
	BYTES;
	if (p + 14 > end) return 1;
	__u8 t = p[0];
	p[0] = p[6];
	p[6] = PICK(t, p[0]);
	return 3;
}

SEC("xdp") int half_word_order(struct xdp_md *ctx)
{
	BYTES;
	if (p + 16 > end) return 1;
	out = PICK(p[12] << 8 | p[13], p[13] << 8 | p[12]);
	return 2;
}

SEC("xdp") int at_a_computed_place(struct xdp_md *ctx)
{
	BYTES;
	if (p + 64 > end) return 1;
	__u64 at = p[0] & 31, other = p[1] & 31;
	asm volatile("%0 &= 31; %1 &= 31" : "+r"(at), "+r"(other));
	__u8 *here = p + at, *there = p + other;
	if (here + 1 > end || there + 1 > end) return 1;
	if (PICK(1, 0)) { *here = 1; *there = 2; } else { *there = 2; *here = 1; }
	return 2;
}

SEC("xdp") int overlapping_words(struct xdp_md *ctx)
{
	BYTES;
	if (p + 20 > end) return 1;
	if (PICK(1, 0)) { *(__u32 *)(p + 4) = 1; *(__u16 *)(p + 6) = 2; } else { *(__u16 *)(p + 6) = 2; *(__u32 *)(p + 4) = 1; }
	return 2;
}

SEC("xdp") int header_room(struct xdp_md *ctx)
{
	bpf_xdp_adjust_head(ctx, PICK(-8, -12));
	return 3;
}

SEC("xdp") int head_then_byte(struct xdp_md *ctx)
{
	if (bpf_xdp_adjust_head(ctx, 4)) return 1;
	BYTES;
	if (p + 20 > end) return 1;
	out = p[PICK(0, 4)];
	return 2;
}

SEC("xdp") int tail_cut(struct xdp_md *ctx)
{
	bpf_xdp_adjust_tail(ctx, PICK(-4, -5));
	return 2;
}

SEC("xdp") int interface_or_queue(struct xdp_md *ctx)
{
	out = PICK(ctx->ingress_ifindex, ctx->rx_queue_index);
	return 2;
}

SEC("xdp") int vlan_bits(struct xdp_md *ctx)
{
	BYTES;
	if (p + 18 > end) return 1;
	out = __builtin_bswap16(*(__u16 *)(p + 14)) & PICK(0x0fff, 0x1fff);
	return 2;
}

SEC("tc") int mark_kept(struct __sk_buff *ctx)
{
	ctx->mark = PICK(ctx->mark | 1, 1);
	return TC_ACT_OK;
}

SEC("tc") int priority_or_mark(struct __sk_buff *ctx)
{
	if (PICK(1, 0)) ctx->priority = 5; else ctx->mark = 5;
	return TC_ACT_OK;
}

SEC("tc") int control_block(struct __sk_buff *ctx)
{
	ctx->cb[PICK(0, 1)] = 9;
	return TC_ACT_OK;
}

SEC("tc") int stored_bytes(struct __sk_buff *ctx)
{
	__u32 v = 1;
	bpf_skb_store_bytes(ctx, PICK(20, 24), &v, 4, 0);
	return TC_ACT_OK;
}

SEC("tc") int stored_flags(struct __sk_buff *ctx)
{
	__u32 v = 1;
	bpf_skb_store_bytes(ctx, 20, &v, 4, PICK(0, BPF_F_RECOMPUTE_CSUM));
	return TC_ACT_OK;
}

SEC("tc") int loaded_then_stored(struct __sk_buff *ctx)
{
	__u32 v = 0, w = 0;
	bpf_skb_load_bytes(ctx, 20, &v, 4);
	w = v + 1;
	bpf_skb_store_bytes(ctx, 20, &w, 4, 0);
	if (OTHER) bpf_skb_load_bytes(ctx, 20, &v, 4);
	out = v;
	return TC_ACT_OK;
}

SEC("tc") int vlan_pushed(struct __sk_buff *ctx)
{
	bpf_skb_vlan_push(ctx, __builtin_bswap16(ETH_P_8021Q), PICK(1, 2));
	return TC_ACT_OK;
}

SEC("tc") int unspecified_or_ok(struct __sk_buff *ctx)
{
	return PICK(TC_ACT_UNSPEC, TC_ACT_OK);
}

SEC("cgroup_skb/egress") int length_limit(struct __sk_buff *ctx)
{
	return ctx->len < PICK(1500, 1501);
}

SEC("sk_msg") int applied(struct sk_msg_md *ctx)
{
	bpf_msg_apply_bytes(ctx, PICK(8, 16));
	return 1;
}

SEC("sockops") int reply(struct bpf_sock_ops *ctx)
{
	if (ctx->op == PICK(1, 2)) ctx->reply = 10;
	return 1;
}

char _license[] SEC("license") = "GPL";
