/* Walks the words of an address in the context. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} prefix SEC(".maps");

SEC("cgroup/connect6")
int deny(struct bpf_sock_addr *ctx)
{
#ifdef FIXED
	__u32 ip[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };
#endif
	for (__u32 i = 0; i < 4; i++) {
		__u32 k = i;
		__u32 *want = bpf_map_lookup_elem(&prefix, &k);
		if (!want)
			return 1;
#ifdef FIXED
		if (ip[k & 3] != *want)
#else
		if (ctx->user_ip6[k] != *want) // <-
#endif
			return 1;
	}
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: context-variable, context-modified
