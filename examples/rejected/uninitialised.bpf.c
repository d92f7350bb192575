#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int nothing(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 2; exit;");
#else
	asm volatile("exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
