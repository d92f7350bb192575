/* Walks the TCP options for the MSS. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct hdr_cursor { void *pos; void *end; };

static __always_inline int find_mss(struct hdr_cursor *nh, int len, __u16 *mss)
{
	__u8 *opt = nh->pos;
	int i = 0;

#ifdef FIXED
	for (int rounds = 0; rounds < 10; rounds++) {
		if (i >= len || i > 40)
			return -1;
		opt = nh->pos + i;
		if ((void *)(opt + 4) > nh->end)
			return -1;
#else
	while (i < len) {
		opt = nh->pos + i; // <-
#endif
		__u8 kind = opt[0]; // <-
		if (kind == 0)
			return -1;
		if (kind == 1) {
			i++;
			continue;
		}
		if (kind == 2) {
			*mss = (__u16)opt[2] << 8 | opt[3];
			return 0;
		}
		if (!opt[1])
			return -1;
		i += opt[1];
	}
	return -1;
}

SEC("xdp")
int xdp_mss(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u16 mss = 0;

	if ((void *)(tcp + 1) > data_end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_TCP || ip->ihl != 5 || !tcp->syn)
		return XDP_PASS;
	struct hdr_cursor nh = { .pos = tcp + 1, .end = data_end };
	if (!find_mss(&nh, tcp->doff * 4 - sizeof(*tcp), &mss) && mss < 500)
		return XDP_DROP;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small, packet-offset-unbounded, packet-check-elsewhere, packet-unchecked, loop-infinite, too-many-insns, pointer-range
