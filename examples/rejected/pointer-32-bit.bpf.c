#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int half(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r2 = r10; r2 += -8; r0 = 2; exit;");
#else
	asm volatile("r2 = r10; w2 += -8; r0 = 2; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
