#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define N 10
struct pool { __u32 next; __u32 ifindex[N]; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct pool); } pools SEC(".maps");

SEC("xdp")
int rr(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct pool *p = bpf_map_lookup_elem(&pools, &zero);
	if (!p)
		return XDP_ABORTED;
	__u32 i = p->next;
#ifdef FIXED
	if (i >= N)
		i = 0;
#endif
	p->next = i + 1 >= N ? 0 : i + 1;
	return bpf_redirect(p->ifindex[i], 0); // <-
}
char _license[] SEC("license") = "GPL";
// cause: map-value-unbounded, map-value-index
