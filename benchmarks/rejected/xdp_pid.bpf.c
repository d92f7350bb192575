/* Whose packet is it? XDP has no socket. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} per_task SEC(".maps");

SEC("xdp")
int per_process(struct xdp_md *ctx)
{
#ifdef FIXED
	__u32 tid = ctx->rx_queue_index;
#else
	__u32 tid = bpf_get_socket_uid((void *)ctx); // <-
#endif
	__u64 init = 1, *n = bpf_map_lookup_elem(&per_task, &tid);
	if (n)
		*n += 1;
	else
		bpf_map_update_elem(&per_task, &tid, &init, BPF_ANY);
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
// cause: helper-program-type
