// A loop over bytes that are compared with constants is two comparisons of words.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

static const unsigned char wanted[6] = { 2, 0, 0, 0, 0, 9 };

SEC("xdp")
int to_me(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	int same = 0;

	if (data + 14 > data_end)
		return XDP_PASS;
	for (int i = 0; i < 6; i++)
		same += data[i] == wanted[i];
	return same == 6 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
