/* The key is the destination, taken where it lies. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} allowed SEC(".maps");

SEC("cgroup/connect4")
int may_connect(struct bpf_sock_addr *ctx)
{
#ifdef FIXED
	__u32 to = ctx->user_ip4;
	return bpf_map_lookup_elem(&allowed, &to) ? 1 : 0;
#else
	return bpf_map_lookup_elem(&allowed, &ctx->user_ip4) ? 1 : 0; // <-
#endif
}
char _license[] SEC("license") = "GPL";
// cause: argument-type, context-modified
