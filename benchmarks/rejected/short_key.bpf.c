/* Looks a flow up by less than its key. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

struct flow_key { __u32 saddr, daddr; __u16 sport, dport; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow_key);
	__type(value, __u64);
} flows SEC(".maps");

SEC("xdp")
int account(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
#ifdef FIXED
	struct flow_key addr = {.saddr = ip->saddr};
#else
	__u32 addr = ip->saddr; // <-
#endif
	__u64 *bytes = bpf_map_lookup_elem(&flows, &addr); // <-
	if (bytes)
		*bytes += data_end - data;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: stack-out-of-bounds, stack-argument-uninitialised
