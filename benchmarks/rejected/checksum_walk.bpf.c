/* Adds up the packet word by word. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 total;

SEC("xdp")
int sum(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	__u32 *p = (void *)(long)ctx->data;
	__u64 acc = 0;

#ifdef FIXED
	for (int i = 0; i < 375; i++) {
		if ((void *)(p + 1) > data_end)
			break;
		acc += *p++;
	}
#else
	while ((void *)(p + 1) <= data_end) // <-
		acc += *p++; // <-
#endif
	total += acc;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-offset-far
