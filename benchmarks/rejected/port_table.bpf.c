/* An array in a map value, indexed by a byte of the packet. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

struct protos { __u64 count[32]; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct protos);
} stats SEC(".maps");

SEC("xdp")
int per_proto(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__u32 key = 0;
	struct protos *p;

	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
	p = bpf_map_lookup_elem(&stats, &key);
	if (!p)
		return XDP_PASS;
	__u8 proto = ip->protocol;
#ifdef FIXED
	if (proto >= 32)
		return XDP_PASS;
#endif
	p->count[proto]++; // <-
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-index
