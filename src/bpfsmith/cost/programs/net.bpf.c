/* Programs at the hooks that a request passes: stamp it, answer it, drop it, or look away. */
#include <bpfsmith/helpers.h>
#include "work.h"

#define ETH_P_IP_BE 0x0008
#define IPPROTO_UDP 17
#define PORT_BE 0x0700 /* 7, echo */
#define FOR_KERNEL 1   /* the first byte of a request that programs may answer */

char LICENSE[] SEC("license") = "GPL";

/* When the newest packet passed: 0 left the client, 1 XDP, 2 tcx ingress, 3 socket filter, 4 sk_skb; 6 is the server's own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} stamps SEC(".maps");

static __always_inline void stamp(__u32 stage)
{
	__u64 *when = bpf_map_lookup_elem(&stamps, &stage);
	if (when)
		*when = bpf_ktime_get_ns();
}

SEC("tcx/egress") int stamp_egress(struct __sk_buff *skb) { stamp(0); return TCX_NEXT; }
SEC("xdp") int stamp_xdp(struct xdp_md *ctx) { stamp(1); return XDP_PASS; }
SEC("tcx/ingress") int stamp_tcx(struct __sk_buff *skb) { stamp(2); return TCX_NEXT; }
SEC("socket") int stamp_socket(struct __sk_buff *skb) { stamp(3); return 0xffff; }
SEC("sk_skb/stream_verdict") int stamp_sk_skb(struct __sk_buff *skb) { stamp(4); return SK_PASS; }

SEC("xdp") int pass_xdp(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp") int drop_xdp(struct xdp_md *ctx) { return XDP_DROP; }
SEC("tcx/ingress") int pass_tcx(struct __sk_buff *skb) { return TCX_NEXT; }
SEC("tcx/ingress") int drop_tcx(struct __sk_buff *skb) { return TCX_DROP; }
SEC("sk_skb/stream_verdict") int pass_sk_skb(struct __sk_buff *skb) { return SK_PASS; }
SEC("socket") int drop_socket(struct __sk_buff *skb) { return 0; }
SEC("socket") int pass_socket(struct __sk_buff *skb) { return 0xffff; }
SEC("socket") int truncate_socket(struct __sk_buff *skb) { return 64; }

struct frame {
	__u8 dmac[6], smac[6];
	__u16 proto;
	__u8 ip[8];
	__u8 ttl, protocol;
	__u16 ip_check;
	__u32 saddr, daddr;
	__u16 sport, dport, length, check;
	__u8 payload[2];
} __attribute__((packed));

/* Is it a request for us? Then its addresses are swapped, and it is its own answer. */
static __always_inline int turned(struct frame *f, void *end, int keep_check)
{
	if ((void *)(f + 1) > end || f->proto != ETH_P_IP_BE || f->protocol != IPPROTO_UDP || f->dport != PORT_BE)
		return 0;
	if (f->payload[0] != FOR_KERNEL)
		return 0;
	__u8 mac[6];
	__builtin_memcpy(mac, f->dmac, 6);
	__builtin_memcpy(f->dmac, f->smac, 6);
	__builtin_memcpy(f->smac, mac, 6);
	__u32 address = f->saddr;
	f->saddr = f->daddr;
	f->daddr = address;
	__u16 port = f->sport;
	f->sport = f->dport;
	f->dport = port;
	if (!keep_check)
		f->check = 0;
	return 1;
}

SEC("xdp") int echo_xdp(struct xdp_md *ctx)
{
	return turned((void *)(long)ctx->data, (void *)(long)ctx->data_end, 0) ? XDP_TX : XDP_PASS;
}

SEC("tcx/ingress") int echo_tcx(struct __sk_buff *skb)
{
	if (!turned((void *)(long)skb->data, (void *)(long)skb->data_end, 1))
		return TCX_NEXT;
	return bpf_redirect(skb->ifindex, 0);
}

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} streams SEC(".maps");

SEC("sk_skb/stream_verdict") int echo_sk_skb(struct __sk_buff *skb) { return bpf_sk_redirect_map(skb, &streams, 0, 0); }

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

SEC("xdp") int to_xsk(struct xdp_md *ctx)
{
	struct frame *f = (void *)(long)ctx->data;
	if ((void *)(f + 1) > (void *)(long)ctx->data_end || f->protocol != IPPROTO_UDP)
		return XDP_PASS;
	return bpf_redirect_map(&xsks, 0, XDP_PASS);
}

/* A cache: hashes WORK bytes of every request, and answers those that are marked as hits. */
volatile __u32 hashed = 0;
SEC("xdp") int cache_xdp(struct xdp_md *ctx)
{
	static __u8 bytes[WORK_BYTES];
	struct frame *f = (void *)(long)ctx->data;
	if ((void *)(f + 1) > (void *)(long)ctx->data_end || f->proto != ETH_P_IP_BE || f->protocol != IPPROTO_UDP)
		return XDP_PASS;
	__u32 n = hashed;
	if (n > WORK_BYTES)
		n = WORK_BYTES;
	__u32 h = work_hash(bytes, n);
	__asm__ volatile("" : "+r"(h));
	return turned(f, (void *)(long)ctx->data_end, 0) ? XDP_TX : XDP_PASS;
}

/* A program that works long on each packet before it drops it: a bad neighbour. */
SEC("xdp") int busy_xdp(struct xdp_md *ctx)
{
	static __u8 bytes[WORK_BYTES];
	struct frame *f = (void *)(long)ctx->data;
	if ((void *)(f + 1) > (void *)(long)ctx->data_end || f->protocol != IPPROTO_UDP)
		return XDP_PASS;
	__u32 h = 0;
	for (int i = 0; i < 4; i++) {
		h += work_hash(bytes, WORK_BYTES);
		__asm__ volatile("" : "+r"(h));
	}
	return h == 1 ? XDP_PASS : XDP_DROP;
}
