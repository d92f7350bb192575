#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

SEC("xdp")
int ports(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (data + 42 > data_end)
		return XDP_PASS;
	if (*(__u16 *)(data + 12) != 0x8 || *(__u8 *)(data + 23) != 17)
		return XDP_PASS;
	return *(__u16 *)(data + 36) == 0x3500 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
