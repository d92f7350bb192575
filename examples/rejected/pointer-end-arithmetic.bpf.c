#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int shorter(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 2; exit;");
#else
	asm volatile("r2 = *(u32 *)(r1 + 4); r2 += -14; r0 = 2; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
