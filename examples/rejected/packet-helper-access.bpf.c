#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp") int report(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	if (data + 4 > data_end)
		return XDP_PASS;
#ifdef FIXED
	__u32 word = *(__u32 *)data;
	bpf_ringbuf_output(&events, &word, 4, 0);
#else
	bpf_ringbuf_output(&events, data, 4, 0); // <-
#endif
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
