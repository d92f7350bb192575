/* A byte-wise copy whose length comes from the user. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct rec { int len; char in[64]; char out[64]; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rec);
} recs SEC(".maps");

SEC("raw_tp/sys_enter")
int copy(void *ctx)
{
	__u32 k = 0;
	struct rec *r = bpf_map_lookup_elem(&recs, &k);
	int i;

	if (!r)
		return 0;
	int len = r->len;
#ifdef FIXED
	if (len > 64)
		len = 64;
	for (i = 0; i < 64 && i < len; i++)
#else
	for (i = 0; i < len; i++) // <-
#endif
		r->out[i] = r->in[i]; // <-
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: map-value-index, map-value-unbounded, too-many-insns, loop-infinite
