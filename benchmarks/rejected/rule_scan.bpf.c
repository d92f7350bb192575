/* First matching rule, each with a list of ports. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>

#define RULES 64
#define PORTS 64
struct rule { __u32 net, mask; __u16 ports[PORTS]; __u32 hits; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RULES);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps");
#ifdef FIXED
struct walk { __u32 addr; __u16 port; int verdict; };
static long one_rule(__u32 i, void *arg)
{
	struct walk *w = arg;
	struct rule *r = bpf_map_lookup_elem(&rules, &i);
	if (!r)
		return 1;
	if ((w->addr & r->mask) != r->net)
		return 0;
	for (int j = 0; j < PORTS; j++)
		if (r->ports[j] == w->port) {
			r->hits++;
			w->verdict = XDP_DROP;
			return 1;
		}
	return 0;
}
#endif

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > data_end)
		return XDP_PASS;
#ifdef FIXED
	struct walk w = {.addr = ip->saddr, .port = udp->dest, .verdict = XDP_PASS};
	bpf_loop(RULES, one_rule, &w, 0);
	return w.verdict;
#else
	int hits = 0;
	for (__u32 i = 0; i < RULES; i++) { // <-
		struct rule *r = bpf_map_lookup_elem(&rules, &i);
		if (!r)
			break;
		if ((ip->saddr & r->mask) != r->net)
			continue;
		for (int j = 0; j < PORTS; j++) { // <-
			if (r->ports[j] == udp->dest) {
				r->hits++;
				hits += j;
			}
		}
	}
	return hits > 5 ? XDP_DROP : XDP_PASS;
#endif
}
char _license[] SEC("license") = "GPL";
// cause: too-many-insns, too-many-jumps
