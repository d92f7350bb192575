// Two checks of the packet's end with the same answer: one check of the larger offset is enough.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

SEC("xdp")
int ports(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (data + 14 > data_end)
		return XDP_PASS;
	if (*(__u16 *)(data + 12) != 0x8)
		return XDP_PASS;
	if (data + 34 > data_end)
		return XDP_PASS;
	if (*(__u8 *)(data + 23) != 17)
		return XDP_PASS;
	if (data + 42 > data_end)
		return XDP_PASS;
	return *(__u16 *)(data + 36) == 0x3500 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
