// IPv4 without options, and nothing else.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpfsmith/helpers.h>

struct tag {
	__u8 kind, length;
};

SEC("xdp")
int options(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct tag *tag = (void *)(eth + 1);
	if ((void *)(tag + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	if (tag->kind == 4 && tag->length == 5)
		return XDP_PASS;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
