#include <bpfsmith/helpers.h>

struct key { __u8 kind; __u32 port; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct key);
	__type(value, __u64);
} flows SEC(".maps");

SEC("xdp") int count(struct xdp_md *ctx)
{
#ifdef FIXED
	struct key key;
	__builtin_memset(&key, 0, sizeof(key));
#else
	struct key key; // <-
#endif
	key.kind = 6;
	key.port = ctx->rx_queue_index;
	bpf_map_delete_elem(&flows, &key);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
