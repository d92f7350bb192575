#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int spin(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 2; exit;");
#else
	asm volatile("r0 = 2; r1 = 0; r1 = 0; if r1 == 0 goto -2; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
