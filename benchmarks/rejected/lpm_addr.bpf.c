/* Is the source in a blocked net? */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

struct prefix { __u32 len; __u32 addr; };
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 256);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} blocked SEC(".maps");

SEC("xdp")
int block(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)(long)ctx->data + sizeof(struct ethhdr);
	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
	struct prefix p = {32, ip->saddr}; // <-
#ifdef FIXED
	return bpf_map_lookup_elem(&blocked, &p) ? XDP_DROP : XDP_PASS;
#else
	return bpf_map_lookup_elem(&blocked, &p.addr) ? XDP_DROP : XDP_PASS; // <-
#endif
}
char _license[] SEC("license") = "GPL";
// cause: stack-out-of-bounds, stack-argument-uninitialised
