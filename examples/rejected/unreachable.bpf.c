#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int skip(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 2; exit;");
#else
	asm volatile("r0 = 2; exit; r0 = 1; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
