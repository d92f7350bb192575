#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp") int report(struct xdp_md *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&events, 16, 0);
	if (!record)
		return XDP_PASS;
	record[0] = 1;
#ifdef FIXED
	record[1] = ctx->rx_queue_index;
	bpf_ringbuf_submit(record, 0);
#else
	bpf_ringbuf_submit(record, 0);
	record[1] = ctx->rx_queue_index; // <-
#endif
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
