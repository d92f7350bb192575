#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
#ifdef FIXED
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
#else
	__uint(type, BPF_MAP_TYPE_ARRAY); // <-
#endif
	__uint(max_entries, 8);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} jmp_table SEC(".maps");

SEC("xdp")
int dispatcher(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jmp_table, 1); // <-
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: map-type
