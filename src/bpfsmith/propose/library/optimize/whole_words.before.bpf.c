// Bytes that lie together are compared as one number in the packet's byte order.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

SEC("xdp")
int prefix(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (data + 34 > data_end)
		return XDP_PASS;
	if (data[12] == 8 && data[13] == 0 && data[26] == 192 && data[27] == 0 && data[28] == 2 && data[29] == 7)
		return XDP_DROP;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
