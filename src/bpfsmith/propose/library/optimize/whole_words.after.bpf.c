#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

SEC("xdp")
int prefix(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (data + 34 > data_end)
		return XDP_PASS;
	if (*(__u16 *)(data + 12) == 0x0008 && *(__u32 *)(data + 26) == 0x070200c0)
		return XDP_DROP;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
