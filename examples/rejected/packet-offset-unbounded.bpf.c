#include <bpfsmith/helpers.h>

SEC("xdp") int skip(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	if (data + 4 > data_end)
		return XDP_PASS;
	int length = *(int *)data;
#ifdef FIXED
	if (length < 0 || length > 1000)
		return XDP_PASS;
#endif
	char *next = data + length; // <-
	if ((void *)(next + 1) > data_end)
		return XDP_PASS;
	return *next ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
