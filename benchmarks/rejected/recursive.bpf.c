/* Digits of a number, as one writes it at school. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int digits;

#ifdef FIXED
static __noinline int count(__u32 n)
{
	int found = 1;
	for (int i = 0; i < 10 && n >= 10; i++, found++)
		n /= 10;
	return found;
}
#else
static __noinline int count(__u32 n)
{
	bpf_printk("%d", n);
	if (n < 10)
		return 1;
	return count(n / 10) + count(n % 10); // <-
}
#endif

SEC("xdp")
int measure(struct xdp_md *ctx)
{
	digits = count(ctx->data_end - ctx->data);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: call-depth, stack-too-large
