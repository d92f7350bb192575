#include <bpfsmith/helpers.h>

struct flow {
	__u64 packets;
	__u32 counts[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct flow);
} flows SEC(".maps");

SEC("xdp") int far(struct xdp_md *ctx)
{
	void *map = &flows;
	__u32 key = 0;
#ifndef FIXED
	asm volatile("%0 += 8" : "+r"(map)); // <-
#endif
	bpf_map_delete_elem(map, &key);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
