/* Takes the next job. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct job { __u64 id, size; };
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 64);
	__uint(key_size, 0);
	__uint(value_size, sizeof(struct job));
} jobs SEC(".maps");
__u64 last;

SEC("xdp")
int next(struct xdp_md *ctx)
{
#ifdef FIXED
	struct job j;
	if (bpf_map_pop_elem(&jobs, &j))
		return XDP_PASS;
	last = j.id;
#else
	__u64 id; // <-
	if (bpf_map_pop_elem(&jobs, &id)) // <-
		return XDP_PASS;
	last = id;
#endif
	return XDP_DROP;
}
char _license[] SEC("license") = "GPL";
// cause: stack-out-of-bounds
