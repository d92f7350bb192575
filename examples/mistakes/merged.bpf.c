// Meant to be options.bpf.c, two comparisons merged into one. That holds for fields of 4 bits; these have 8.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpfsmith/helpers.h>

struct tag {
	__u8 kind, length;
};

SEC("xdp")
int merged(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct tag *tag = (void *)(eth + 1);
	if ((void *)(tag + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	if ((tag->kind << 4 | tag->length) == 0x45)
		return XDP_PASS;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
