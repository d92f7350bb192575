#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int last(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data;
	unsigned char *data_end = (void *)(long)ctx->data_end;

	if (data + 60 > data_end)
		return XDP_PASS;
#ifdef FIXED
	if (data[59] == 0xaa)
#else
	if (*(data_end - 1) == 0xaa) // <-
#endif
		return XDP_DROP;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: pointer-end-arithmetic, pointer-arithmetic
