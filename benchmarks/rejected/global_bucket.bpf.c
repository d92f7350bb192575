/* A bucket from a function that could be replaced. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 buckets[16];

__noinline __u32 bucket_of(__u32 len)
{
	__u32 b = len >> 6;
	if (b > 15)
		b = 15;
	return b;
}

SEC("xdp")
int sizes(struct xdp_md *ctx)
{
	__u32 b = bucket_of(ctx->data_end - ctx->data); // <-
#ifdef FIXED
	b &= 15;
	asm volatile("" : "+r"(b));
	b &= 15;
#endif
	buckets[b]++; // <-
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-unbounded, map-value-index
