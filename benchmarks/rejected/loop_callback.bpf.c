/* bpf_loop: the callback's index is not bounded by the number of rounds. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define N 100

struct table { __u32 cell[N]; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct table);
} tables SEC(".maps");

struct sum_ctx { struct table *t; __u64 sum; };

static long add_one(__u32 i, void *data)
{
	struct sum_ctx *c = data;
#ifdef FIXED
	if (i >= N)
		return 1;
#endif
	c->sum += c->t->cell[i]; // <-
	return 0;
}

SEC("xdp")
int sum_all(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct sum_ctx c = { .sum = 0 };

	c.t = bpf_map_lookup_elem(&tables, &key);
	if (!c.t)
		return XDP_ABORTED;
	bpf_loop(N, add_one, &c, 0);
	return c.sum > 1000 ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-unbounded, map-value-index
