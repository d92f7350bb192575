#include <bpfsmith/helpers.h>

struct {
#ifdef FIXED
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
#else
	__uint(type, BPF_MAP_TYPE_ARRAY); // <-
#endif
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

SEC("xdp") int first(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &next, 1);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
