#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp") int report(struct xdp_md *ctx)
{
	__u64 size = ctx->data_end - ctx->data;
#ifdef FIXED
	size = 64;
#endif
	void *record = bpf_ringbuf_reserve(&events, size, 0); // <-
	if (record)
		bpf_ringbuf_discard(record, 0);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
