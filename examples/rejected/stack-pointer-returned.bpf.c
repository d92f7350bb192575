#include <bpfsmith/helpers.h>

static __attribute__((naked, noinline)) long leak(void)
{
#ifdef FIXED
	asm volatile("r0 = 0; exit;");
#else
	asm volatile("r0 = r10; exit;"); // <-
#endif
}

SEC("xdp") int outer(struct xdp_md *ctx)
{
	return leak() != 0;
}
char _license[] SEC("license") = "GPL";
