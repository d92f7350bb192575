/* Checks the headers one by one, but one too few. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct cursor { void *pos, *end; };
static __always_inline int parse_ip(struct cursor *c, struct iphdr **ip)
{
	struct iphdr *h = c->pos;
	if ((void *)(h + 1) > c->end)
		return -1;
	int len = h->ihl * 4;
	if (len < sizeof(*h))
		return -1;
	if (c->pos + len > c->end)
		return -1;
	c->pos += len;
	*ip = h;
	return h->protocol;
}
static __always_inline int parse_tcp(struct cursor *c, struct tcphdr **tcp)
{
	struct tcphdr *h = c->pos;
	int len = h->doff * 4; // <-
#ifdef FIXED
	if ((void *)(h + 1) > c->end)
		return -1;
	len = h->doff * 4;
#endif
	if (c->pos + len > c->end)
		return -1;
	*tcp = h;
	return len;
}

SEC("xdp")
int syn(struct xdp_md *ctx)
{
	struct cursor c = {(void *)(long)ctx->data, (void *)(long)ctx->data_end};
	struct ethhdr *eth = c.pos;
	struct iphdr *ip;
	struct tcphdr *tcp;
	if ((void *)(eth + 1) > c.end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	c.pos = eth + 1;
	if (parse_ip(&c, &ip) != IPPROTO_TCP)
		return XDP_PASS;
	if (parse_tcp(&c, &tcp) < 0)
		return XDP_DROP;
	return tcp->syn ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked, packet-check-too-small
