#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

SEC("xdp")
int to_me(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (data + 14 > data_end)
		return XDP_PASS;
	return *(__u32 *)data == 0x00000002 && *(__u16 *)(data + 4) == 0x0900 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
