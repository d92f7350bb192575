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

struct key { __u8 kind; __u32 port; };

SEC("xdp") int count(struct xdp_md *ctx)
{
#ifdef FIXED
	struct key key;
	__builtin_memset(&key, 0, sizeof(key));
#else
	struct key key; // <-
#endif
	key.port = ctx->rx_queue_index;
	bpf_map_delete_elem(&flows, &key.kind);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
