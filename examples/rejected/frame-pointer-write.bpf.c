#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int shift(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r1 = r10; r1 += -8; r0 = 2; exit;");
#else
	asm volatile("r10 += -8; r0 = 2; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
