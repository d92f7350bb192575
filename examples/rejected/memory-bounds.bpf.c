#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp") int report(struct xdp_md *ctx)
{
#ifdef FIXED
	__u64 *record = bpf_ringbuf_reserve(&events, 16, 0);
#else
	__u64 *record = bpf_ringbuf_reserve(&events, 8, 0);
#endif
	if (!record)
		return XDP_PASS;
	record[1] = ctx->rx_queue_index; // <-
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
