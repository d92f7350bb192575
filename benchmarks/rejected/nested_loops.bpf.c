/* Compares every pair of bytes of a payload: too much for the verifier. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct buf { unsigned char b[128]; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct buf);
} bufs SEC(".maps");

static __always_inline int best_run(struct buf *d)
{
	int best = 0;
	for (int i = 0; i < 128; i++) { // <-
		int run = 0;
		for (int j = i; j < 128; j++) { // <-
			if (d->b[j] != d->b[i])
				break;
			run++;
		}
		if (run > best)
			best = run;
	}
	return best;
}

#ifdef FIXED
struct state { struct buf *d; int best; };
static long one(__u32 i, void *arg)
{
	struct state *s = arg;
	int run = 0;
	for (__u32 j = 0; j < 128; j++) {
		if (i >= 128)
			return 1;
		if (j >= i) {
			if (s->d->b[j] != s->d->b[i])
				break;
			run++;
		}
	}
	if (run > s->best)
		s->best = run;
	return 0;
}
#endif

SEC("xdp")
int longest(struct xdp_md *ctx)
{
	__u32 k = 0;
	struct buf *d = bpf_map_lookup_elem(&bufs, &k);

	if (!d)
		return XDP_PASS;
#ifdef FIXED
	struct state s = { .d = d };
	bpf_loop(128, one, &s, 0);
	return s.best > 16 ? XDP_DROP : XDP_PASS;
#else
	return best_run(d) > 16 ? XDP_DROP : XDP_PASS;
#endif
}
char _license[] SEC("license") = "GPL";
// cause: too-many-insns, too-many-jumps
