#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int far(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 2; r0 <<= 63; exit;");
#else
	asm volatile("r0 = 2; r0 <<= 64; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
