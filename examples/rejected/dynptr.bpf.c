#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp") int report(struct xdp_md *ctx)
{
	struct bpf_dynptr record;
	__u64 word = 7;
#ifdef FIXED
	bpf_ringbuf_reserve_dynptr(&events, 8, 0, &record);
	bpf_dynptr_write(&record, 0, &word, 8, 0);
	bpf_ringbuf_submit_dynptr(&record, 0);
#else
	bpf_dynptr_write(&record, 0, &word, 8, 0); // <-
#endif
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
