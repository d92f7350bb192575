/* Takes the address of a member of what may be NULL. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct inner { __u64 hits; };
struct outer { __u32 id; __u32 flags; struct inner in; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct outer);
} outers SEC(".maps");

static __attribute__((noinline)) void bump(struct inner *in)
{
	if (in)
		in->hits++;
}

SEC("xdp")
int touch(struct xdp_md *ctx)
{
	__u32 key = ctx->ingress_ifindex;
	struct outer *o = bpf_map_lookup_elem(&outers, &key);

#ifdef FIXED
	if (!o)
		return XDP_PASS;
#endif
	bump(&o->in); // <-
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: null-arithmetic, null-unchecked
